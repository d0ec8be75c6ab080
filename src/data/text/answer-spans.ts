/**
 * Where the answers are in a rendered conversation.
 *
 * A template is a program, so an answer is found by what the program writes without it: the text that a model is asked
 * with is the conversation up to the answer, rendered with the generation prompt; the answer is what follows in the text
 * of the whole conversation, up to and with its stop token, which is the one that follows on a mark in the answer's place.
 * The mark also shows where answers begin with templates that write earlier turns otherwise than they were: Qwen3 takes
 * the thoughts out.
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
  /** The stop token, which the text ends with; absent: the template writes none there. */
  readonly stop: string | undefined;
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
    const marked = render(withContent(messages, index, MARK), false);
    const hasOtherPrompt = !text.startsWith(asked) || asked.length < after;
    const start = hasOtherPrompt
      ? startByMark(text, index, asked, render(messages.slice(0, index), false), marked, after)
      : asked.length;
    const soFar = index === messages.length - 1 ? text : render(messages.slice(0, index + 1), false);
    const limit =
      text.startsWith(soFar) && soFar.length >= start ? soFar.length : nextMessage(text, messages, index, render);
    const { length, stop } = answerLength(text.slice(start, limit), message, marked, stops);
    const end = start + length;
    const isRewritten = !soFar.startsWith(text.slice(0, end));
    spans.push({ message: index, start, end, stop, isRewritten, hasOtherPrompt });
  }
  return spans;
}

/**
 * @param asked the conversation up to the answer, with the generation prompt
 * @param before the same without it
 * @param marked the whole conversation with the mark for the answer
 */
function startByMark(
  text: string,
  index: number,
  asked: string,
  before: string,
  marked: string,
  after: number,
): number {
  const at = marked.indexOf(MARK);
  const untilMark = marked.slice(0, Math.max(at, 0));
  const opening = asked.slice(commonPrefix(asked, before));
  const opened = opening === "" ? -1 : untilMark.lastIndexOf(opening);
  const start = opened >= after ? opened + opening.length : at;
  if (at < 0 || start < after || !text.startsWith(untilMark.slice(0, start))) {
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

/**
 * @param region the text from the beginning of the answer to the next message, or to its first word
 * @param marked the whole conversation with the mark for the answer
 */
function answerLength(
  region: string,
  { content, toolCalls = [] }: Message,
  marked: string,
  stops: readonly string[],
): { length: number; stop: string | undefined } {
  const at = marked.indexOf(MARK);
  if (at >= 0) {
    // With what the template writes between an answer and its stop token, such as calls of tools. An answer may quote a
    // stop token, so it is the last one that counts.
    const after = marked.slice(at + MARK.length);
    const found = firstStop(after, stops);
    if (found !== undefined) {
      // White space may be there only for the mark's sake: before a call of a tool, where there are words before it.
      const closing = after.slice(0, found.end).trimStart();
      for (const ending of [closing, found.stop]) {
        const closes = region.lastIndexOf(ending);
        if (closes >= 0) return { length: closes + ending.length, stop: found.stop };
      }
    }
  } else {
    // The template leaves the words of this message out: those of a call of a tool, for some.
    const found = firstStop(region, stops);
    if (found !== undefined) return { length: found.end, stop: found.stop };
  }
  const words = content.trimEnd();
  const said = words === "" ? -1 : region.lastIndexOf(words);
  return {
    length: said >= 0 && toolCalls.length === 0 ? said + words.length : region.trimEnd().length,
    stop: undefined,
  };
}

/** The stop token that comes first; of two at one place the longer. */
function firstStop(text: string, stops: readonly string[]): { stop: string; end: number } | undefined {
  let first: { stop: string; end: number } | undefined;
  let earliest = Infinity;
  for (const stop of stops) {
    const at = text.indexOf(stop);
    if (at < 0 || at > earliest || (at === earliest && at + stop.length <= first!.end)) continue;
    earliest = at;
    first = { stop, end: at + stop.length };
  }
  return first;
}

function withContent(messages: readonly Message[], index: number, content: string): Message[] {
  return messages.map((message, i) => (i === index ? { ...message, content } : message));
}

function commonPrefix(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}
