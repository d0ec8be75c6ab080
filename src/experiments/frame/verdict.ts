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
import { sampleOf } from "./statistics.ts";

const ERRORS = 2;

export interface Verdict {
  readonly holds: Holds;
  /** In numbers: `difference 3.3 ± 0.6 (3 seeds)`. */
  readonly words: string;
  /** The rule, in words. */
  readonly rule: string;
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
  const { words, holds } = decided(
    values.map((value) => value - level),
    0,
    digits,
  );
  const rule = `mean over seeds above ${level} by more than ${ERRORS} standard errors: yes; below by more: no; else inconclusive`;
  return { holds, words, rule };
}

/** Whether two settings give the same but for `margin`: the difference, with its two errors, stays within. */
export function isSame(a: readonly number[], b: readonly number[], margin: number, digits = 3): Verdict {
  const rule = `|mean difference over seeds| + ${ERRORS} standard errors below ${margin}: yes; − ${ERRORS} standard errors above it: no; else inconclusive`;
  const found = differences(a, b);
  const { mean, error, n } = sampleOf(found);
  const words = differenceText(found, digits);
  if (n < 2) return { holds: "inconclusive", words, rule };
  const size = Math.abs(mean);
  const holds = size + ERRORS * error < margin ? "yes" : size - ERRORS * error > margin ? "no" : "inconclusive";
  return { holds, words, rule };
}

/** All of several verdicts: one "no" is enough for "no". */
export function allOf(parts: readonly Verdict[]): Verdict {
  const holds = parts.some((part) => part.holds === "no")
    ? "no"
    : parts.length > 0 && parts.every((part) => part.holds === "yes")
      ? "yes"
      : "inconclusive";
  const rules = [...new Set(parts.map(({ rule }) => rule))];
  return { holds, words: parts.map(({ words }) => words).join("; "), rule: `each of ${parts.length}: ${rules.join(" / ")}` };
}

function decided(found: readonly number[], least: number, digits: number): Omit<Verdict, "rule"> {
  const { mean, error, n } = sampleOf(found);
  const words = differenceText(found, digits);
  if (n < 2) return { holds: "inconclusive", words };
  const over = mean - least;
  // The same in every seed, and not above: there is no difference, which is an answer.
  const isNone = error === 0 && over <= 0;
  return { holds: over > ERRORS * error ? "yes" : isNone || over < -ERRORS * error ? "no" : "inconclusive", words };
}

function differences(a: readonly number[], b: readonly number[]): number[] {
  return a.slice(0, Math.min(a.length, b.length)).map((value, i) => value - b[i]!);
}

function differenceText(found: readonly number[], digits: number): string {
  const { mean, error, n } = sampleOf(found);
  if (n === 0) return "no data";
  const seeds = n === 1 ? "1 seed" : `${n} seeds`;
  const sign = mean < 0 ? "−" : "+";
  return `difference ${sign}${Math.abs(mean).toFixed(digits)}${n === 1 ? "" : ` ± ${error.toFixed(digits)} s.e.`} (${seeds})`;
}
