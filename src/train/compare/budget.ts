/** How many steps a budget of tokens makes, counted on the very rows that a run takes. */
import type { RowSource } from "../../data/row-source.ts";
import { planRun, type PlanSettings, stepsFrom } from "../plan.ts";
import type { Budget } from "./comparison.ts";

/**
 * Steps, tokens and rows of a run.
 * @param tokenBudget the last step is the one that reaches it; undefined: as many steps as the settings say
 */
export async function budgetOf(
  source: RowSource,
  settings: PlanSettings,
  tokenBudget: number | undefined,
): Promise<Budget> {
  const limit = tokenBudget === undefined ? planRun(source.length, settings).totalSteps : Infinity;
  let [steps, tokens, rows] = [0, 0, 0];
  for await (const { batches } of stepsFrom(source, settings, { epoch: 0, used: 0 })) {
    for (const row of batches.flat()) {
      tokens += row.inputIds.length;
      rows++;
    }
    steps++;
    if (steps >= limit || (tokenBudget !== undefined && tokens >= tokenBudget)) break;
  }
  return { steps, tokens, rows };
}
