/**
 * Where the answers are in a rendered conversation.
 *
 * A template is a program, so an answer is found by what the program writes without it: the text that a model is asked
 * with is the conversation up to the answer, rendered with the generation prompt; the answer is what follows in the text
 * of the whole conversation, up to and with its stop token. Templates that write earlier turns otherwise than they were
 * (Qwen3 takes the thoughts out) are asked once more, with a mark in the place of the answer.
 */
import { DataError } from "../../errors.ts";
import type { Message } from "../sample.ts";
import { MARK } from "./end-of-turn.ts";

export interface AnswerSpan {
  /** Index of the message. */
  readonly message: number;
  /** In characters of the whole text; `end` is after the stop token. */
  readonly start: number;
  readonly end: number;
  /** Whether the text has a stop token after the answer. */
  readonly hasStop: boolean;
  /** Whether the answer read otherwise when it was the last one. */
  readonly isRewritten: boolean;
  /** Whether the text before it is another than what a model would be asked with. */
  readonly hasOtherPrompt: boolean;
}

export type Render = (messages: readonly Message[], addGenerationPrompt: boolean) => string;

/**
 * @param text the whole conversation, rendered without generation prompt
 * @param stops texts of the tokens that end an answer
 * @throws DataError when an answer does not show in the text
 */
export function findAnswers(
  text: string,
  messages: readonly Message[],
  render: Render,
  stops: readonly string[],
): AnswerSpan[] {
  const spans: AnswerSpan[] = [];
  for (const [index, message] of messages.entries()) {
    if (message.role !== "assistant") continue;
    const after = spans.at(-1)?.end ?? 0;
    const asked = render(messages.slice(0, index), true);
    const hasOtherPrompt = !text.startsWith(asked) || asked.length < after;
    const start = hasOtherPrompt ? startByMark(text, messages, index, asked, render, after) : asked.length;
    const soFar = index === messages.length - 1 ? text : render(messages.slice(0, index + 1), false);
    const limit =
      text.startsWith(soFar) && soFar.length >= start ? soFar.length : nextMessage(text, messages, index, render);
    const { length, hasStop } = answerLength(text.slice(start, limit), message, stops);
    const end = start + length;
    const isRewritten = !soFar.startsWith(text.slice(0, end));
    spans.push({ message: index, start, end, hasStop, isRewritten, hasOtherPrompt });
  }
  return spans;
}

function startByMark(
  text: string,
  messages: readonly Message[],
  index: number,
  asked: string,
  render: Render,
  after: number,
): number {
  const marked = render(withContent(messages, index, MARK), false);
  const at = marked.indexOf(MARK);
  const before = marked.slice(0, Math.max(at, 0));
  const opening = asked.slice(commonPrefix(asked, render(messages.slice(0, index), false)));
  const opened = opening === "" ? -1 : before.lastIndexOf(opening);
  const start = opened >= after ? opened + opening.length : at;
  if (at < 0 || start < after || !text.startsWith(before.slice(0, start))) {
    throw new DataError({ what: `the chat template does not show message ${index + 1} (assistant) as it is` });
  }
  return start;
}

/** Where the next message begins, or a little later: its own first characters, which are none of the answer, included. */
function nextMessage(text: string, messages: readonly Message[], index: number, render: Render): number {
  const marked = render(withContent(messages, index + 1, MARK), false);
  const at = marked.indexOf(MARK);
  return at >= 0 && text.startsWith(marked.slice(0, at)) ? at : text.length;
}

function answerLength(
  region: string,
  { content, toolCalls = [] }: Message,
  stops: readonly string[],
): { length: number; hasStop: boolean } {
  // Stop tokens may be quoted in an answer; the one that ends it comes after the last of its words.
  const words = content.trimEnd().slice(-64);
  const found = words === "" ? -1 : region.lastIndexOf(words);
  const from = found < 0 ? 0 : found + words.length;
  let end: number | undefined;
  let first = Infinity;
  for (const stop of stops) {
    const at = region.indexOf(stop, from);
    if (at < 0 || at > first || (at === first && at + stop.length < end!)) continue;
    first = at;
    end = at + stop.length;
  }
  if (end !== undefined) return { length: end, hasStop: true };
  return { length: found >= 0 && toolCalls.length === 0 ? from : region.trimEnd().length, hasStop: false };
}

function withContent(messages: readonly Message[], index: number, content: string): Message[] {
  return messages.map((message, i) => (i === index ? { ...message, content } : message));
}

function commonPrefix(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}
