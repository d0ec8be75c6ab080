/** Generation with a key/value cache: a token at a time, for one prompt or a batch of them. */
import { ConfigError } from "../errors.ts";
import { Random } from "../random.ts";
import { PLACEHOLDER } from "./adapted-sequence.ts";
import { KvCache } from "./kv-cache.ts";
import type { LanguageModel, RowAdapters } from "./language-model.ts";
import { checkSampling, pickToken, type SamplingOptions } from "./sampling.ts";

export interface GenerateOptions extends SamplingOptions {
  /** Default: 20, as in transformers. */
  readonly maxNewTokens?: number;
  /** Tokens that end a row; they are part of it. Default: none. */
  readonly stopIds?: readonly number[];
  /** Fills rows that have ended while others go on. Default: the first stop token, or 0. */
  readonly padId?: number;
  /**
   * Tokens of prompt and answer at most. Default: as many as a model has that looks positions up in a table, such as GPT-2,
   * less the virtual tokens of its adapter; no limit for models that rotate, which go on beyond what they were made for, as
   * in transformers.
   */
  readonly maxContext?: number;
  /** Of the draws. Default: 0. */
  readonly seed?: number;
  /** Stops after the token at hand. */
  readonly signal?: AbortSignal;
  /** Called with the new token of each row; undefined where a row has ended. */
  readonly onToken?: (tokens: readonly (number | undefined)[]) => void;
}

/** `context`: there is no further position. */
export type EndReason = "stop" | "length" | "context" | "aborted";

export interface Generation {
  /** New tokens of each row, stop token included. */
  readonly rows: readonly (readonly number[])[];
  /** Why each row ended. */
  readonly reasons: readonly EndReason[];
  /** Time until the first token, and for all others. */
  readonly prefillMs: number;
  readonly decodeMs: number;
}

type Prompts = readonly (readonly number[])[];

/** Tokens of a prompt that are computed at a time: bounds the memory of long ones. */
const PREFILL = 512;

/**
 * @param prompts token ids, not empty; they may differ in length
 * @param adapters for each row
 * @throws ConfigError if an option is out of range, a token is none of the model's, or a prompt does not fit into its
 *   positions; NumericError if logits are not numbers
 */
export async function generate(
  language: LanguageModel,
  prompts: Prompts,
  adapters: RowAdapters,
  options: GenerateOptions = {},
): Promise<Generation> {
  checkGeneration(language, prompts, adapters, options);
  return language.exclusively(async () => {
    const cache = new KvCache(language.device, language.model, prompts.length);
    try {
      return await generateInto(cache, language, prompts, adapters, options);
    } finally {
      await cache.free();
    }
  });
}

/**
 * {@link generate} into a cache that may hold the beginning of the prompts already. Afterwards it holds all tokens but the
 * last one of each row. For callers that have checked the options, and have the device's cache for themselves.
 */
export async function generateInto(
  cache: KvCache,
  language: LanguageModel,
  prompts: Prompts,
  adapters: RowAdapters,
  options: GenerateOptions,
): Promise<Generation> {
  const { maxNewTokens = 20, stopIds = [], padId = stopIds[0] ?? 0, seed = 0, signal, onToken } = options;
  const { vocabSize } = language.model;
  const places = language.virtualTokens(adapters).count;
  const maxContext = contextOf(language, options, places);
  const randoms = prompts.map((_, row) => new Random(seed, row));
  const rows: number[][] = prompts.map(() => []);
  const seen = prompts.map((prompt) => new Set(prompt));
  const reasons: (EndReason | undefined)[] = prompts.map(() => undefined);
  const start = performance.now();
  let logits = await prefill(cache, language, prompts, adapters, { padId, places, signal });
  let prefilled: number | undefined;
  while (logits !== undefined) {
    const all = logits;
    const tokens = rows.map((row, b) => {
      if (reasons[b] !== undefined) return undefined;
      const token = pickToken(all.subarray(b * vocabSize, (b + 1) * vocabSize), seen[b]!, options, randoms[b]!);
      row.push(token);
      seen[b]!.add(token);
      if (stopIds.includes(token)) reasons[b] = "stop";
      else if (row.length === maxNewTokens) reasons[b] = "length";
      else if (prompts[b]!.length + row.length > maxContext) reasons[b] = "context";
      return token;
    });
    prefilled ??= performance.now();
    onToken?.(tokens);
    if (signal?.aborted === true || reasons.every((reason) => reason !== undefined)) break;
    const feeds = await cache.append({
      tokens: Int32Array.from(tokens, (token) => token ?? padId),
      // Rows that have ended go on where they may, and nobody looks.
      positions: Int32Array.from(rows, (row, b) => places + Math.min(prompts[b]!.length + row.length, maxContext) - 1),
      attended: new Int32Array(prompts.length).fill(1),
      ...(places === 0 ? {} : { virtual: new Int32Array(prompts.length) }),
    });
    logits = (await language.next(feeds, adapters)).data as Float32Array;
  }
  const end = performance.now();
  return {
    rows,
    reasons: reasons.map((reason) => reason ?? "aborted"),
    prefillMs: (prefilled ?? end) - start,
    decodeMs: end - (prefilled ?? end),
  };
}

/**
 * Fills the cache with the virtual tokens and the prompts, padded on the left, from where it is filled on.
 * @returns logits of the first new token, [B · V]; undefined if aborted
 */
async function prefill(
  cache: KvCache,
  language: LanguageModel,
  prompts: Prompts,
  adapters: RowAdapters,
  {
    padId,
    places,
    signal,
  }: { readonly padId: number; readonly places: number; readonly signal: AbortSignal | undefined },
): Promise<Float32Array | undefined> {
  const batch = prompts.length;
  const longest = Math.max(...prompts.map((prompt) => prompt.length));
  const length = places + longest;
  let logits: Float32Array | undefined;
  for (let from = cache.filled; from < length; from += PREFILL) {
    if (signal?.aborted === true) return undefined;
    const count = Math.min(PREFILL, length - from);
    const tokens = new Int32Array(batch * count).fill(padId);
    const positions = new Int32Array(batch * count);
    const attended = new Int32Array(batch * count);
    const virtual = new Int32Array(batch * count);
    prompts.forEach((prompt, b) => {
      const padding = longest - prompt.length;
      for (let i = 0; i < count; i++) {
        const at = from + i - padding;
        if (at < 0) continue;
        if (at < places) virtual[b * count + i] = at + 1;
        tokens[b * count + i] = at < places ? PLACEHOLDER : prompt[at - places]!;
        positions[b * count + i] = at;
        attended[b * count + i] = 1;
      }
    });
    const feeds = await cache.append({ tokens, positions, attended, ...(places === 0 ? {} : { virtual }) });
    logits = (await language.next(feeds, adapters)).data as Float32Array;
  }
  return logits;
}

/** @throws ConfigError as {@link generate} */
export function checkGeneration(
  language: LanguageModel,
  prompts: Prompts,
  adapters: RowAdapters,
  options: GenerateOptions,
): void {
  checkSampling(options);
  const { vocabSize } = language.model;
  const { maxNewTokens = 20, padId = 0 } = options;
  if (!Number.isInteger(maxNewTokens) || maxNewTokens < 1) {
    throw new ConfigError({
      where: "maxNewTokens",
      what: "out of range",
      got: maxNewTokens,
      expected: "an integer >= 1",
    });
  }
  if (prompts.length === 0 || prompts.some(({ length }) => length === 0)) {
    throw new ConfigError({
      where: "generate",
      what: "a prompt has no tokens",
      hint: "begin with the model's bos token",
    });
  }
  const isToken = (id: number) => Number.isInteger(id) && id >= 0 && id < vocabSize;
  const odd = [...prompts.flat(), padId].find((id) => !isToken(id));
  if (odd !== undefined) {
    throw new ConfigError({
      where: "generate",
      what: "there is no such token",
      got: odd,
      expected: `an integer from 0 to ${vocabSize - 1}`,
      hint: "the tokenizer must be the model's own",
    });
  }
  const longest = Math.max(...prompts.map(({ length }) => length));
  const places = language.virtualTokens(adapters).count;
  const maxContext = contextOf(language, options, places);
  if (longest > maxContext) {
    throw new ConfigError({
      where: "generate",
      what: "the prompt is longer than the model's positions",
      got: `${longest} tokens`,
      expected: `at most ${maxContext}${places === 0 ? "" : `, and ${places} virtual tokens of the adapter`}`,
      hint: "shorten the prompt",
    });
  }
}

/** Without the places of virtual tokens. */
function contextOf({ model }: LanguageModel, { maxContext = Infinity }: GenerateOptions, places: number): number {
  return model.rope === undefined ? Math.min(maxContext, model.maxPositions - places) : maxContext;
}
