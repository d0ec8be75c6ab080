/**
 * From logits to a token: the processors of transformers' `generate`, in its order. Repetition penalty (Keskar et al. 2019,
 * arXiv 1909.05858), temperature, top-k, top-p (Holtzman et al. 2020, arXiv 1904.09751), min-p (Nguyen et al. 2024, arXiv
 * 2407.01082).
 */
import { ConfigError, listed, NumericError } from "../errors.ts";
import type { Random } from "../random.ts";

export interface SamplingOptions {
  /** Draw from the distribution; otherwise take the most likely token. Default: false. */
  readonly doSample?: boolean;
  /** Above 0. Default: 1. */
  readonly temperature?: number;
  /** Tokens that stay in the draw; 0 is all. Default: 50, as in transformers. */
  readonly topK?: number;
  /** The likeliest tokens that have this probability together stay in the draw, in (0, 1]. Default: 1. */
  readonly topP?: number;
  /** Tokens with less than this share of the likeliest one's probability leave the draw, in [0, 1]. Default: 0. */
  readonly minP?: number;
  /** Divides the logits of tokens that are there already if they are positive, multiplies them if not. Default: 1. */
  readonly repetitionPenalty?: number;
}

/** The tokens of a draw, in no particular order, and their probabilities, which sum to 1. */
export interface Distribution {
  readonly ids: Uint32Array;
  readonly probabilities: Float64Array;
}

/** @throws ConfigError naming every option that is out of its range */
export function checkSampling(options: SamplingOptions): void {
  const wrong: string[] = [];
  const check = (name: keyof SamplingOptions, holds: (value: number) => boolean, expected: string) => {
    const value = options[name];
    if (value !== undefined && !holds(Number(value))) wrong.push(`${name} is ${String(value)}, not ${expected}`);
  };
  if (options.doSample === true) check("temperature", (x) => x > 0 && Number.isFinite(x), "a number above 0");
  check("topK", (x) => Number.isInteger(x) && x >= 0, "an integer >= 0");
  check("topP", (x) => x > 0 && x <= 1, "in (0, 1]");
  check("minP", (x) => x >= 0 && x <= 1, "in [0, 1]");
  check("repetitionPenalty", (x) => x > 0 && Number.isFinite(x), "a number above 0");
  if (wrong.length > 0) throw new ConfigError({ where: "generation", what: listed(wrong) });
}

/**
 * The next token.
 * @param logits [V]; may be overwritten
 * @param seen tokens so far, prompt included
 * @throws NumericError if no logit is a number to choose by
 */
export function pickToken(
  logits: Float32Array,
  seen: ReadonlySet<number>,
  options: SamplingOptions,
  random: Random,
): number {
  if (options.doSample === true) return draw(distribution(logits, seen, options), random.uniform());
  penalize(logits, seen, options.repetitionPenalty ?? 1);
  return likeliest(logits);
}

/** What is drawn from, with arguments as for {@link pickToken}. `doSample` does not matter. */
export function distribution(logits: Float32Array, seen: ReadonlySet<number>, options: SamplingOptions): Distribution {
  const { temperature = 1, topK = 50, topP = 1, minP = 0, repetitionPenalty = 1 } = options;
  penalize(logits, seen, repetitionPenalty);
  const top = logits[likeliest(logits)]!;
  let ids = topK > 0 && topK < logits.length ? atLeast(logits, nthLargest(logits, topK)) : indices(logits.length);
  // Of a whole vocabulary; loops are several times faster than callbacks for each element.
  let weights = new Float64Array(ids.length);
  for (let i = 0; i < ids.length; i++) weights[i] = Math.exp((logits[ids[i]!]! - top) / temperature);
  const keep = (kept: Uint32Array) => {
    const [allIds, allWeights] = [ids, weights];
    ids = new Uint32Array(kept.length);
    weights = new Float64Array(kept.length);
    for (let i = 0; i < kept.length; i++) {
      ids[i] = allIds[kept[i]!]!;
      weights[i] = allWeights[kept[i]!]!;
    }
  };
  if (topP < 1) keep(nucleus(weights, topP));
  // The likeliest has the weight 1.
  if (minP > 0) keep(atLeast(weights, minP));
  const total = sum(weights);
  for (let i = 0; i < weights.length; i++) weights[i]! /= total;
  return { ids, probabilities: weights };
}

function penalize(logits: Float32Array, seen: ReadonlySet<number>, penalty: number): void {
  if (penalty === 1) return;
  for (const id of seen) logits[id] = logits[id]! > 0 ? logits[id]! / penalty : logits[id]! * penalty;
}

/** Index of the largest logit, the first one of several. @throws NumericError if there is NaN, or no finite one */
function likeliest(logits: Float32Array): number {
  let best = 0;
  let isNumber = true;
  for (let i = 0; i < logits.length; i++) {
    const value = logits[i]!;
    if (value > logits[best]!) best = i;
    isNumber &&= !Number.isNaN(value);
  }
  if (isNumber && Number.isFinite(logits[best])) return best;
  throw new NumericError({
    where: "logits",
    what: isNumber ? `the largest is ${logits[best]}` : "there are some that are not a number",
    hint: "weights that overflowed in training, or a damaged file, give such logits",
  });
}

/** The n-th largest value, n >= 1: from a heap of the n largest so far, the smallest of them first. */
function nthLargest(values: Float32Array | Float64Array, n: number): number {
  const heap = values.slice(0, n).sort();
  for (let i = n; i < values.length; i++) {
    const value = values[i]!;
    if (value <= heap[0]!) continue;
    let at = 0;
    for (let child = 1; child < n; child = 2 * at + 1) {
      if (child + 1 < n && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= value) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = value;
  }
  return heap[0]!;
}

/** Indices of the values that are `threshold` or more, so of all that tie with it. */
function atLeast(values: Float32Array | Float64Array, threshold: number): Uint32Array {
  const found = new Uint32Array(values.length);
  let count = 0;
  for (let i = 0; i < values.length; i++) if (values[i]! >= threshold) found[count++] = i;
  return found.slice(0, count);
}

/** Indices of the largest weights that are `share` of the sum together: as few as do, at least one. */
function nucleus(weights: Float64Array, share: number): Uint32Array {
  const wanted = share * sum(weights);
  // Nearly always a few are enough: not all of a vocabulary is sorted.
  for (let count = 64; ; count *= 8) {
    const isAll = count >= weights.length;
    const ids = isAll ? indices(weights.length) : atLeast(weights, nthLargest(weights, count));
    ids.sort((a, b) => weights[b]! - weights[a]! || a - b);
    let [mass, kept] = [0, 0];
    while (kept < ids.length && mass < wanted) mass += weights[ids[kept++]!]!;
    if (isAll || mass >= wanted) return ids.subarray(0, kept);
  }
}

/** @param u uniform in [0, 1) */
function draw({ ids, probabilities }: Distribution, u: number): number {
  let rest = u;
  for (let i = 0; i < ids.length - 1; i++) {
    rest -= probabilities[i]!;
    if (rest < 0) return ids[i]!;
  }
  return ids.at(-1)!;
}

function sum(values: Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

function indices(count: number): Uint32Array {
  const all = new Uint32Array(count);
  for (let i = 0; i < count; i++) all[i] = i;
  return all;
}
