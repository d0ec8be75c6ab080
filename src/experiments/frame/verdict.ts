/**
 * How a claim is decided, in one place, so that all experiments are judged by the same rules. Numbers are one per seed; those of two
 * settings with the same seeds are compared pair by pair, which takes out what the seed does to both; NaN stands for a seed
 * whose job failed, and its pair is left out.
 *
 * A direction holds if the mean of the differences is more than two standard errors above 0; it does not if it is more than
 * two below, or if it is less than a margin that the experiment names in advance. Between them, and with a single seed, nothing
 * can be said.
 */
import type { Holds } from "../experiment.ts";
import { sampleOf, seedsText } from "./statistics.ts";

const ERRORS = 2;

export interface Verdict {
  readonly holds: Holds;
  /** In numbers: `difference 3.3 ± 0.6 (3 seeds)`. */
  readonly words: string;
  /** The rule, in words. */
  readonly rule: string;
  /** How far the mean is beyond what the rule asks for, in standard errors: the lower, the weaker. Default: 0. */
  readonly strength?: number;
}

/**
 * Whether `more` is above `less`, seed by seed.
 * @param least difference from which on it counts: a smaller one, however certain, is none. Default: 0
 */
export function isAbove(
  more: readonly number[],
  less: readonly number[],
  { digits = 2, least = 0 }: { readonly digits?: number; readonly least?: number } = {},
): Verdict {
  const rule =
    `mean difference over seeds above ${least} by more than ${ERRORS} standard errors: yes; ` +
    `below ${least} by more than ${ERRORS}: no; else inconclusive`;
  return { ...decided(differences(more, less), least, digits), rule };
}

/** Whether numbers are above a fixed one. */
export function isAboveLevel(values: readonly number[], level: number, digits = 2): Verdict {
  const rule = `mean over seeds above ${level} by more than ${ERRORS} standard errors: yes; below by more: no; else inconclusive`;
  const over = values.map((value) => value - level);
  return { ...decided(over, 0, digits), rule };
}

/** Whether two settings give the same but for `margin`: the difference, with its two errors, stays within. */
export function isSame(a: readonly number[], b: readonly number[], margin: number, digits = 3): Verdict {
  const rule = `|mean difference over seeds| + ${ERRORS} standard errors below ${margin}: yes; − ${ERRORS} standard errors above it: no; else inconclusive`;
  const found = differences(a, b);
  const { mean, error, n } = sampleOf(found);
  const words = differenceText(found, digits);
  const size = Math.abs(mean);
  const strength = strengthOf(margin - size, error);
  if (n < 2) return { holds: "inconclusive", words, rule, strength };
  const holds = size + ERRORS * error < margin ? "yes" : size - ERRORS * error > margin ? "no" : "inconclusive";
  return { holds, words, rule, strength };
}

/** All of several verdicts: one "no" is enough for "no". Its words are those of the weakest. */
export function allOf(parts: readonly Verdict[]): Verdict {
  const [weakest] = parts.toSorted(
    (a, b) => WEAKNESS[a.holds] - WEAKNESS[b.holds] || (a.strength ?? 0) - (b.strength ?? 0),
  );
  if (weakest === undefined) return { holds: "inconclusive", words: "no data", rule: "none", strength: -Infinity };
  if (parts.length === 1) return weakest;
  const { holds, words, strength = 0 } = weakest;
  const rules = [...new Set(parts.map(({ rule }) => rule))];
  return { holds, words: `weakest: ${words}`, rule: `each of several; ${rules.join(" / ")}`, strength };
}

const WEAKNESS = { no: 0, inconclusive: 1, yes: 2 } as const satisfies Record<Holds, number>;

function decided(found: readonly number[], least: number, digits: number): Omit<Verdict, "rule"> {
  const { mean, error, n } = sampleOf(found);
  const words = differenceText(found, digits);
  const over = mean - least;
  const strength = strengthOf(over, error);
  if (n < 2) return { holds: "inconclusive", words, strength };
  // The same in every seed, and not above: there is no difference, which is an answer.
  const isNone = error === 0 && over <= 0;
  const holds = over > ERRORS * error ? "yes" : isNone || over < -ERRORS * error ? "no" : "inconclusive";
  return { holds, words, strength };
}

/** NaN (no data) is the weakest. */
function strengthOf(over: number, error: number): number {
  const strength = over / error;
  return Number.isNaN(strength) ? (over > 0 ? Infinity : -Infinity) : strength;
}

function differences(a: readonly number[], b: readonly number[]): number[] {
  return a.slice(0, Math.min(a.length, b.length)).map((value, i) => value - b[i]!);
}

function differenceText(found: readonly number[], digits: number): string {
  const { mean, error, n } = sampleOf(found);
  if (n === 0) return "no data";
  const sign = mean < 0 ? "−" : "+";
  return `difference ${sign}${Math.abs(mean).toFixed(digits)}${n === 1 ? "" : ` ± ${error.toFixed(digits)} s.e.`} (${seedsText(n)})`;
}
