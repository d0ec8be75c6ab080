/**
 * From logits to a token: the processors of transformers' `generate`, in its order. Repetition penalty (Keskar et al. 2019,
 * arXiv 1909.05858), temperature, top-k, top-p (Holtzman et al. 2020, arXiv 1904.09751), min-p (Nguyen et al. 2024, arXiv
 * 2407.01082).
 */
import { ConfigError, listed } from "../errors.ts";
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
 */
export function pickToken(
  logits: Float32Array,
  seen: Iterable<number>,
  options: SamplingOptions,
  random: Random,
): number {
  const { doSample = false, temperature = 1, topK = 50, topP = 1, minP = 0, repetitionPenalty = 1 } = options;
  if (repetitionPenalty !== 1) penalize(logits, seen, repetitionPenalty);
  if (!doSample) return argMax(logits);
  const candidates = likeliest(logits, topK);
  const top = logits[candidates[0]!]!;
  const weights = Array.from(candidates, (id) => Math.exp((logits[id]! - top) / temperature));
  return candidates[draw(weights, kept(weights, topP, minP), random.uniform())]!;
}

function penalize(logits: Float32Array, seen: Iterable<number>, penalty: number): void {
  for (const id of new Set(seen)) logits[id]! = logits[id]! > 0 ? logits[id]! / penalty : logits[id]! * penalty;
}

export function argMax(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
}

/** The `count` tokens with the largest logits, largest first; 0: all. Those that tie with the last one stay, too. */
function likeliest(logits: Float32Array, count: number): Uint32Array {
  let ids = Uint32Array.from(logits.keys());
  if (count > 0 && count < logits.length) {
    const threshold = logits.toSorted().at(-count)!;
    ids = ids.filter((id) => logits[id]! >= threshold);
  }
  return ids.sort((a, b) => logits[b]! - logits[a]! || a - b);
}

/** How many of the weights, which fall, stay in the draw; at least one. */
function kept(weights: readonly number[], topP: number, minP: number): number {
  let count = weights.length;
  if (topP < 1) {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    let [sum, i] = [0, 0];
    while (i < weights.length && sum < topP * total) sum += weights[i++]!;
    count = Math.max(1, i);
  }
  while (minP > 0 && count > 1 && weights[count - 1]! < minP * weights[0]!) count--;
  return count;
}

/** @param u uniform in [0, 1) */
function draw(weights: readonly number[], count: number, u: number): number {
  let total = 0;
  for (let i = 0; i < count; i++) total += weights[i]!;
  let rest = u * total;
  for (let i = 0; i < count - 1; i++) {
    rest -= weights[i]!;
    if (rest < 0) return i;
  }
  return count - 1;
}
