/**
 * How a claim is decided, in one place, so that all experiments are judged by the same rules. Numbers are one per seed; those of two
 * settings with the same seeds are compared pair by pair, which takes out what the seed does to both; NaN stands for a seed
 * whose job failed, and its pair is left out.
 *
 * A direction holds if the mean of the differences is more than two standard errors above 0; it does not if it is more than
 * two below, or if it is less than a margin that the experiment names in advance. Between them, and with a single seed, nothing
 * can be said.
 */
import type { DifferenceEvidence, Evidence, Holds } from "../experiment.ts";
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
  /** What it was decided on. */
  readonly evidence: readonly Evidence[];
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
    `below ${least} by more than ${ERRORS}, or ${least} in every seed: no; else inconclusive`;
  return decided({ test: "above", values: more, against: less, margin: least }, digits, rule);
}

/** Whether numbers are above a fixed one. */
export function isAboveLevel(values: readonly number[], level: number, digits = 2): Verdict {
  const rule = `mean over seeds above ${level} by more than ${ERRORS} standard errors: yes; below by more, or ${level} in every seed: no; else inconclusive`;
  return decided({ test: "above", values, against: level, margin: 0 }, digits, rule);
}

/** Whether numbers are below a fixed one. */
export function isBelowLevel(values: readonly number[], level: number, digits = 2): Verdict {
  const rule = `mean over seeds below ${level} by more than ${ERRORS} standard errors: yes; above by more, or ${level} in every seed: no; else inconclusive`;
  return decided({ test: "below", values, against: level, margin: 0 }, digits, rule);
}

/** Whether two settings give the same but for `margin`: the difference, with its two errors, stays within. */
export function isSame(a: readonly number[], b: readonly number[], margin: number, digits = 3): Verdict {
  const rule = `|mean difference over seeds| + ${ERRORS} standard errors below ${margin}: yes; − ${ERRORS} standard errors above it: no; else inconclusive`;
  return decided({ test: "same", values: a, against: b, margin }, digits, rule);
}

/** All of several verdicts, each with what it is of: one "no" is enough for "no". Its words are those of the weakest. */
export function allOf(parts: readonly (readonly [of: string, verdict: Verdict])[]): Verdict {
  const verdicts = parts.map(([, verdict]) => verdict);
  const [weakest] = verdicts.toSorted(
    (a, b) => WEAKNESS[a.holds] - WEAKNESS[b.holds] || (a.strength ?? 0) - (b.strength ?? 0),
  );
  if (weakest === undefined) {
    return { holds: "inconclusive", words: "no data", rule: "none", strength: -Infinity, evidence: [] };
  }
  const evidence = parts.flatMap(([of, verdict]) => verdict.evidence.map((one) => ({ of, ...one })));
  if (parts.length === 1) return { ...weakest, evidence };
  const { holds, words, strength = 0 } = weakest;
  const rules = [...new Set(verdicts.map(({ rule }) => rule))];
  return { holds, words: `weakest: ${words}`, rule: `each of several; ${rules.join(" / ")}`, strength, evidence };
}

const WEAKNESS = { no: 0, inconclusive: 1, yes: 2 } as const satisfies Record<Holds, number>;

type Question = Pick<DifferenceEvidence, "test" | "values" | "against" | "margin">;

function decided(question: Question, digits: number, rule: string): Verdict {
  const { test, values, against, margin } = question;
  const found = differences(values, against);
  const { mean, error, n } = sampleOf(found);
  const size = Math.abs(mean);
  // What is beyond what is asked for.
  const over = test === "same" ? margin - size : test === "above" ? mean - margin : -mean - margin;
  const holds = holdsOf(over, error, n, test === "same");
  return {
    holds,
    words: differenceText(found, digits),
    rule,
    strength: strengthOf(over, error),
    evidence: [{ ...question, mean_difference: mean, standard_error: error, n, holds }],
  };
}

function holdsOf(over: number, error: number, n: number, isSameness: boolean): Holds {
  if (n < 2) return "inconclusive";
  if (over > ERRORS * error) return "yes";
  // The same in every seed, and not above: there is no difference, which is an answer.
  const isNone = !isSameness && error === 0 && over <= 0;
  return isNone || over < -ERRORS * error ? "no" : "inconclusive";
}

/** NaN (no data) is the weakest. */
function strengthOf(over: number, error: number): number {
  const strength = over / error;
  return Number.isNaN(strength) ? (over > 0 ? Infinity : -Infinity) : strength;
}

function differences(values: readonly number[], against: readonly number[] | number): number[] {
  if (typeof against === "number") return values.map((value) => value - against);
  return values.slice(0, Math.min(values.length, against.length)).map((value, i) => value - against[i]!);
}

function differenceText(found: readonly number[], digits: number): string {
  const { mean, error, n } = sampleOf(found);
  if (n === 0) return "no data";
  const sign = mean < 0 ? "−" : "+";
  return `difference ${sign}${Math.abs(mean).toFixed(digits)}${n === 1 ? "" : ` ± ${error.toFixed(digits)} s.e.`} (${seedsText(n)})`;
}
