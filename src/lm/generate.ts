/** Generation with a key/value cache: a token at a time, for one prompt or a batch of them. */
import { ConfigError } from "../errors.ts";
import { Random } from "../random.ts";
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
  /** Of the draws. Default: 0. */
  readonly seed?: number;
  /** Stops after the token at hand. */
  readonly signal?: AbortSignal;
  /** Called with the new token of each row; undefined where a row has ended. */
  readonly onToken?: (tokens: readonly (number | undefined)[]) => void;
}

export interface Generation {
  /** New tokens of each row, stop token included. */
  readonly rows: readonly (readonly number[])[];
  /** Why each row ended. */
  readonly reasons: readonly ("stop" | "length" | "aborted")[];
  /** Time until the first token, and for all others. */
  readonly prefillMs: number;
  readonly decodeMs: number;
}

/** Tokens of a prompt that are computed at a time: bounds the memory of long ones. */
const PREFILL = 512;

/**
 * @param prompts token ids, not empty; they may differ in length
 * @param adapters for each row
 * @throws ConfigError if an option is out of range, or prompt and answer do not fit into the model's positions
 */
export async function generate(
  language: LanguageModel,
  prompts: readonly (readonly number[])[],
  adapters: RowAdapters,
  options: GenerateOptions = {},
): Promise<Generation> {
  const { maxNewTokens = 20 } = options;
  checkSampling(options);
  checkPrompts(prompts, maxNewTokens, language.model.maxPositions);
  return language.exclusively(() => generateRows(language, prompts, adapters, { ...options, maxNewTokens }));
}

async function generateRows(
  language: LanguageModel,
  prompts: readonly (readonly number[])[],
  adapters: RowAdapters,
  options: GenerateOptions & { readonly maxNewTokens: number },
): Promise<Generation> {
  const { maxNewTokens, stopIds = [], padId = stopIds[0] ?? 0, seed = 0, signal, onToken } = options;
  const { model } = language;
  const batch = prompts.length;
  const cache = new KvCache(language.device, model, batch);
  const randoms = prompts.map((_, row) => new Random(seed, row));
  const rows: number[][] = prompts.map(() => []);
  const reasons: ("stop" | "length" | "aborted" | undefined)[] = prompts.map(() => undefined);
  const start = performance.now();
  let prefilled = start;
  try {
    let logits = await prefill(language, cache, prompts, adapters, padId);
    for (let step = 0; step < maxNewTokens; step++) {
      const tokens = rows.map((row, b) => {
        if (reasons[b] !== undefined) return undefined;
        const own = logits.subarray(b * model.vocabSize, (b + 1) * model.vocabSize);
        const token = pickToken(own, [...prompts[b]!, ...row], options, randoms[b]!);
        row.push(token);
        if (stopIds.includes(token)) reasons[b] = "stop";
        else if (row.length === maxNewTokens) reasons[b] = "length";
        return token;
      });
      if (step === 0) prefilled = performance.now();
      onToken?.(tokens);
      if (reasons.every((reason) => reason !== undefined)) break;
      if (signal?.aborted === true) break;
      const feeds = await cache.append({
        tokens: Int32Array.from(tokens, (token) => token ?? padId),
        positions: Int32Array.from(rows, (row, b) => Math.min(prompts[b]!.length + row.length, model.maxPositions) - 1),
        attended: new Int32Array(batch).fill(1),
      });
      logits = (await language.next(feeds, adapters)).data as Float32Array;
    }
  } finally {
    await cache.free();
  }
  return {
    rows,
    reasons: reasons.map((reason) => reason ?? "aborted"),
    prefillMs: prefilled - start,
    decodeMs: performance.now() - prefilled,
  };
}

/** Fills the cache with the prompts, padded on the left. @returns logits of the first new token, [B · V] */
async function prefill(
  language: LanguageModel,
  cache: KvCache,
  prompts: readonly (readonly number[])[],
  adapters: RowAdapters,
  padId: number,
): Promise<Float32Array> {
  const batch = prompts.length;
  const length = Math.max(...prompts.map((prompt) => prompt.length));
  let logits: Float32Array = new Float32Array();
  for (let from = 0; from < length; from += PREFILL) {
    const count = Math.min(PREFILL, length - from);
    const tokens = new Int32Array(batch * count).fill(padId);
    const positions = new Int32Array(batch * count);
    const attended = new Int32Array(batch * count);
    prompts.forEach((prompt, b) => {
      const padding = length - prompt.length;
      for (let i = 0; i < count; i++) {
        const at = from + i - padding;
        if (at < 0) continue;
        tokens[b * count + i] = prompt[at]!;
        positions[b * count + i] = at;
        attended[b * count + i] = 1;
      }
    });
    const feeds = await cache.append({ tokens, positions, attended });
    logits = (await language.next(feeds, adapters)).data as Float32Array;
  }
  return logits;
}

function checkPrompts(prompts: readonly (readonly number[])[], maxNewTokens: number, maxPositions: number): void {
  if (prompts.length === 0 || prompts.some(({ length }) => length === 0)) {
    throw new ConfigError({ where: "generate", what: "a prompt has no tokens", hint: "begin with the model's bos token" });
  }
  if (!Number.isInteger(maxNewTokens) || maxNewTokens < 1) {
    throw new ConfigError({
      where: "maxNewTokens",
      what: "out of range",
      got: maxNewTokens,
      expected: "an integer >= 1",
    });
  }
  const longest = Math.max(...prompts.map(({ length }) => length));
  if (longest > maxPositions) {
    throw new ConfigError({
      where: "generate",
      what: "the prompt is longer than the model's positions",
      got: `${longest} tokens`,
      expected: `at most ${maxPositions}`,
      hint: "shorten the prompt, or scale its positions (rope_scaling)",
    });
  }
}
