/** Claims of an experiment, one after the other, with what decided each. */
import type { Claim } from "../experiment.ts";
import type { Verdict } from "../frame/verdict.ts";

type Published = Pick<Claim, "claim" | "source" | "published">;

/** @param found numbers with their spread; those of the verdict are put behind them */
export function claimOf(published: Published, verdict: Verdict, found: string): Claim {
  const { holds, words, rule, evidence } = verdict;
  return { ...published, found: words === "" ? found : `${found}; ${words}`, holds, rule, evidence };
}
