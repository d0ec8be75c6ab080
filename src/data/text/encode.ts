/**
 * One sample as token ids and labels.
 *
 * The text of a conversation is the chat template's, of the whole of it. Questions and answers are turned into tokens
 * apart, so that the tokens of a question are those that the model is asked with later and no token lies on the border.
 * Trained on is each answer with its stop token; what the template writes after that, such as a line break, is not.
 */
import { ConfigError, DataError } from "../../errors.ts";
import { IGNORED } from "../sample.ts";
import type { ChatSample, ClassSample, Encoded, Message, Sample, Source, TextSample } from "../sample.ts";
import { findAnswers } from "./answer-spans.ts";
import { classTarget, classTokens } from "./encode-class.ts";
import type { AnswerSpan } from "./answer-spans.ts";
import type { RenderOptions } from "./chat-template.ts";
import type { ChatTemplate } from "./templates.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { concatenate, truncateLast, truncateTurns } from "./truncate.ts";
import type { Turn } from "./truncate.ts";

/** What to do with a sample of more than `cutoffLen` tokens. */
export type OverLength = "error" | "drop" | "truncate";

export interface EncodeSettings {
  /** Most tokens of a row. */
  readonly cutoffLen: number;
  readonly overLength: OverLength;
  /** Train on questions and system prompts too. Default false. */
  readonly trainOnPrompt?: boolean;
  /** Train on the last answer only. Default false: on every one. */
  readonly maskHistory?: boolean;
  /** For conversations without a system prompt. Default: what the template does then. */
  readonly defaultSystem?: string;
  /**
   * For templates that know thoughts: false takes `<think>…</think>` out of the answers and asks for none. Default: as the
   * template does by itself.
   */
  readonly enableThinking?: boolean;
  /** Today, for templates that write the date. Default: the clock; give one to have the same tokens on another day. */
  readonly now?: Date;
  /** Which token tells the class of a text: of encoders the first, of decoders the last. Default: "last". */
  readonly classToken?: "first" | "last";
  /** Token that programs fill rows up with: the last token that tells a class is another one. Default: none. */
  readonly padTokenId?: number;
}

/** What a person should know of a sample that was kept. */
export type Remark = "history-rewritten" | "prompt-differs" | "eos-appended" | "unanswered-dropped" | "tools-left-out";

/** The remarks, in words that fit after a number of samples. */
export const REMARKS: Readonly<Record<Remark, string>> = {
  "history-rewritten":
    "have earlier answers that the template writes otherwise than the model gives them (thoughts taken out): mask_history: true trains on the last answer only",
  "prompt-differs": "have an answer before which the template writes another text than it asks the model with",
  "eos-appended": "have answers that the template does not end: the end-of-text token was put after them",
  "unanswered-dropped": "end with a question: it was left out",
  "tools-left-out": "offer tools that the template does not write: the model does not see them",
};

export interface Kept {
  readonly encoded: Encoded;
  /** Number of tokens before the sample was cut; absent: it was not. */
  readonly truncatedFrom?: number;
  /** Whether the last token that is trained on ends an answer. */
  readonly stopTrained: boolean;
  readonly remarks: readonly Remark[];
}

export interface Dropped {
  /** Why, in words. */
  readonly dropped: string;
}

export type EncodeResult = Kept | Dropped;

/**
 * The label of a row's first token is {@link IGNORED} always: there is nothing to predict it from.
 * @param template needed for conversations, not for texts
 * @throws DataError for a sample that is too long where `overLength` is `error`; ConfigError for a conversation without
 *   `template`, and for `trainOnPrompt` together with `maskHistory`
 */
export async function encodeSample(
  sample: Sample,
  tokenizer: Tokenizer,
  template: ChatTemplate | undefined,
  settings: EncodeSettings,
): Promise<EncodeResult> {
  if (settings.trainOnPrompt === true && settings.maskHistory === true) {
    throw new ConfigError({
      where: "mask_history",
      what: "train_on_prompt trains on what mask_history leaves out",
      hint: "set one of them to false",
    });
  }
  if (sample.kind === "text")
    return encodeWhole(await encodeText(sample, tokenizer), sample.source, tokenizer, settings);
  if (sample.kind === "class") return encodeClass(sample, tokenizer, settings);
  if (template === undefined) {
    throw new ConfigError({
      where: "template",
      what: "conversations need one",
      hint: "`template: default` works with any model",
    });
  }
  try {
    return await encodeChat(sample, tokenizer, template, settings);
  } catch (error) {
    // A conversation that the template refuses is a matter of this sample, not of the run.
    if (error instanceof DataError && error.problem.where !== locationOf(sample.source)) {
      return { dropped: error.problem.what };
    }
    throw error;
  }
}

/** The tokens of a text as models are pretrained on it: with the token at its beginning, if the model has one, and at its end. */
export async function encodeText({ text }: TextSample, tokenizer: Tokenizer): Promise<Int32Array> {
  const { addsBos, bosId, eosId } = tokenizer;
  const ids = await tokenizer.encode(text);
  const begin = addsBos && bosId !== undefined && ids[0] !== bosId ? [bosId] : [];
  const end = eosId !== undefined && ids.at(-1) !== eosId ? [eosId] : [];
  return concatenate([Int32Array.from(begin), ids, Int32Array.from(end)]);
}

async function encodeClass(sample: ClassSample, tokenizer: Tokenizer, settings: EncodeSettings): Promise<EncodeResult> {
  const { cutoffLen, classToken = "last", padTokenId } = settings;
  const { inputIds, types, truncatedFrom } = await classTokens(sample, tokenizer, cutoffLen);
  const { length } = inputIds;
  if (length === 0) return { dropped: "the tokenizer has no token for the text" };
  const tooLong = overLength(truncatedFrom ?? length, sample.source, settings);
  if (tooLong !== undefined) return tooLong;
  return {
    encoded: {
      inputIds,
      labels: new Int32Array(length).fill(IGNORED),
      targets: [classTarget(inputIds, classToken, sample.label, padTokenId)],
      ...(types.some((type) => type !== 0) ? { types } : {}),
    },
    ...(truncatedFrom === undefined ? {} : { truncatedFrom }),
    stopTrained: false,
    remarks: [],
  };
}

function encodeWhole(ids: Int32Array, source: Source, tokenizer: Tokenizer, settings: EncodeSettings): EncodeResult {
  const { cutoffLen } = settings;
  const tooLong = overLength(ids.length, source, settings);
  if (tooLong !== undefined) return tooLong;
  const kept = ids.slice(0, cutoffLen);
  return {
    ...labelled([{ source: new Int32Array(), target: kept, closing: 0 }], tokenizer, true),
    ...(ids.length > cutoffLen ? { truncatedFrom: ids.length } : {}),
    remarks: [],
  };
}

async function encodeChat(
  sample: ChatSample,
  tokenizer: Tokenizer,
  template: ChatTemplate,
  settings: EncodeSettings,
): Promise<EncodeResult> {
  const { enableThinking, maskHistory = false, trainOnPrompt = false, cutoffLen, now } = settings;
  const messages = answered(sample.messages, template, settings);
  if (!messages.some(({ role }) => role === "assistant")) return { dropped: "no answer of the assistant to train on" };
  const options: RenderOptions = {
    ...(sample.tools === undefined ? {} : { tools: sample.tools }),
    ...(enableThinking === undefined ? {} : { enableThinking }),
    ...(now === undefined ? {} : { now }),
  };
  const render = (some: readonly Message[], addGenerationPrompt: boolean): string =>
    template.render(some, { ...options, addGenerationPrompt });
  const text = render(messages, false);
  if (calledTools(messages).some((name) => !text.includes(name))) {
    // An empty answer would be trained on in its place.
    return { dropped: "calls a tool, and the chat template does not write calls" };
  }
  const stops = template.stopIds.map((id) => tokenizer.tokenOf(id)).filter((token) => token !== undefined);
  const all = findAnswers(text, messages, render, stops);
  const spans = maskHistory ? all.slice(-1) : all;
  const turns = await turnsOf(text, spans, messages, tokenizer);
  const length = turns.reduce((sum, { source, target }) => sum + source.length + target.length, 0);
  const tooLong = overLength(length, sample.source, settings);
  if (tooLong !== undefined) return tooLong;
  let kept = turns;
  if (length > cutoffLen) {
    const history = maskHistory ? await tokenizer.encode(text.slice(0, all.at(-2)?.end ?? 0)) : undefined;
    kept =
      history === undefined
        ? truncateTurns(turns, cutoffLen)
        : [truncateLast(turns[0]!, Math.min(history.length, turns[0]!.source.length), cutoffLen)];
    if (kept.every(({ target }) => target.length === 0)) {
      return { dropped: `nothing of an answer fits into cutoff_len ${cutoffLen}` };
    }
  }
  return {
    ...labelled(kept, { stopIds: template.stopIds }, trainOnPrompt),
    ...(length > cutoffLen ? { truncatedFrom: length } : {}),
    remarks: [
      ...remarksOf(spans, messages.length < sample.messages.length, tokenizer),
      ...(offeredTools(sample).some((name) => !text.includes(name)) ? (["tools-left-out"] as const) : []),
    ],
  };
}

function calledTools(messages: readonly Message[]): string[] {
  return messages.flatMap(({ toolCalls = [] }) => toolCalls.map(({ name }) => name));
}

/** Names of tools, bare or in OpenAI's `{ type, function }`. */
function offeredTools({ tools = [] }: ChatSample): string[] {
  return tools.flatMap((tool) => {
    const { name, function: inner } = (tool ?? {}) as { name?: unknown; function?: { name?: unknown } };
    const found = inner?.name ?? name;
    return typeof found === "string" ? [found] : [];
  });
}

/** The conversation up to its last answer, with a system prompt if there is one to be added, and without unwanted thoughts. */
function answered(messages: readonly Message[], template: ChatTemplate, settings: EncodeSettings): Message[] {
  const { defaultSystem = "", enableThinking } = settings;
  const last = messages.findLastIndex(({ role }) => role === "assistant");
  const removesThoughts = enableThinking === false && template.source.includes("</think>");
  const kept = messages
    .slice(0, last + 1)
    .map((message) =>
      removesThoughts && message.role === "assistant"
        ? { ...message, content: message.content.replaceAll(/<think>.*?<\/think>\s*/gs, "") }
        : message,
    );
  return defaultSystem !== "" && kept[0] !== undefined && kept[0].role !== "system"
    ? [{ role: "system", content: defaultSystem }, ...kept]
    : kept;
}

async function turnsOf(
  text: string,
  spans: readonly AnswerSpan[],
  messages: readonly Message[],
  tokenizer: Tokenizer,
): Promise<Turn[]> {
  const pieces: string[] = [];
  let at = 0;
  for (const { message, start, end, stop = "" } of spans) {
    // What follows the last word of the question, so that cutting can leave it in its place.
    const words = messages[message - 1]?.content.trim() ?? "";
    const asked = words === "" ? -1 : text.lastIndexOf(words, start - words.length);
    const closing = asked < at ? "" : text.slice(asked + words.length, start);
    pieces.push(text.slice(at, start), closing, text.slice(start, end - stop.length));
    at = end;
  }
  const ids = await encodePieces(pieces, tokenizer);
  return spans.map(({ stop }, i) => {
    const [source, closing, answer] = ids.slice(3 * i, 3 * i + 3) as [Int32Array, Int32Array, Int32Array];
    // By its id: some tokenizers do not find their own token behind a word.
    const end = stop === undefined ? tokenizer.eosId : tokenizer.idOf(stop);
    const stopIds = Int32Array.from(end === undefined ? [] : [end]);
    return {
      source,
      target: concatenate([answer, stopIds]),
      closing: Math.min(closing.length, source.length),
    };
  });
}

/** Pieces of one text, which lie one after the other except for each second of three, which only counts. */
async function encodePieces(pieces: readonly string[], tokenizer: Tokenizer): Promise<Int32Array[]> {
  if (!tokenizer.prependsSpace) return tokenizer.encodeBatch(pieces);
  const ids: Int32Array[] = [];
  let previous: number | undefined;
  for (const [i, piece] of pieces.entries()) {
    const encoded = await encodeWithin(piece, previous, tokenizer);
    ids.push(encoded);
    if (i % 3 !== 1) previous = encoded.at(-1) ?? previous;
  }
  return ids;
}

/**
 * A piece from the middle of a text, for tokenizers that put a space before whatever they are given: it is given after
 * something whose tokens are known and then taken off.
 */
async function encodeWithin(piece: string, previous: number | undefined, tokenizer: Tokenizer): Promise<Int32Array> {
  if (piece === "" || previous === undefined) return tokenizer.encode(piece);
  const before = tokenizer.isSpecial(previous) ? (tokenizer.tokenOf(previous) ?? "\n") : "\n";
  const [known, both] = (await tokenizer.encodeBatch([before, before + piece])) as [Int32Array, Int32Array];
  return known.every((id, i) => both[i] === id) ? both.slice(known.length) : tokenizer.encode(piece);
}

function overLength(length: number, source: Source, settings: EncodeSettings): Dropped | undefined {
  const { cutoffLen, overLength: policy } = settings;
  if (length <= cutoffLen || policy === "truncate") return undefined;
  if (policy === "drop") return { dropped: `longer than cutoff_len ${cutoffLen}` };
  throw new DataError({
    where: locationOf(source),
    what: "longer than cutoff_len",
    got: `${length} tokens`,
    expected: `at most ${cutoffLen}`,
    hint: "raise cutoff_len, or say what to do with such samples: over_length: drop or over_length: truncate",
  });
}

function locationOf({ file, line }: Source): string {
  return `${file}:${line}`;
}

function labelled(
  turns: readonly Turn[],
  { stopIds }: { readonly stopIds: readonly number[] },
  trainOnPrompt: boolean,
): { encoded: Encoded; stopTrained: boolean } {
  const inputIds = concatenate(turns.flatMap(({ source, target }) => [source, target]));
  const labels = concatenate(
    turns.flatMap(({ source, target }) => [
      trainOnPrompt ? source : new Int32Array(source.length).fill(IGNORED),
      target,
    ]),
  );
  if (labels.length > 0) labels[0] = IGNORED;
  const last = labels.findLast((label) => label !== IGNORED);
  return { encoded: { inputIds, labels }, stopTrained: last !== undefined && stopIds.includes(last) };
}

function remarksOf(spans: readonly AnswerSpan[], isShortened: boolean, { eosId }: Tokenizer): Remark[] {
  return [
    ...(spans.some(({ isRewritten }) => isRewritten) ? (["history-rewritten"] as const) : []),
    ...(spans.some(({ hasOtherPrompt }) => hasOtherPrompt) ? (["prompt-differs"] as const) : []),
    ...(eosId !== undefined && spans.some(({ stop }) => stop === undefined) ? (["eos-appended"] as const) : []),
    ...(isShortened ? (["unanswered-dropped"] as const) : []),
  ];
}
