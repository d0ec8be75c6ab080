/** Steps, tokens and rows of a budget are those that a run takes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryRows } from "../../../src/data/row-source.ts";
import { budgetOf } from "../../../src/train/compare/budget.ts";

/** Rows of 2, 3, … 8 tokens. */
const LENGTHS = [2, 3, 4, 5, 6, 7, 8];
const source = (seed: number | undefined) => {
  const rows = LENGTHS.map((length) => ({ inputIds: new Int32Array(length), labels: new Int32Array(length) }));
  return memoryRows(rows, { seed });
};
const SETTINGS = { perDeviceTrainBatchSize: 2, gradientAccumulationSteps: 1, numTrainEpochs: 1, maxSteps: -1 };

test("without a budget: as many steps as the settings say", async () => {
  assert.deepEqual(await budgetOf(source(undefined), SETTINGS, undefined), { steps: 4, tokens: 35, rows: 7 });
  const short = { ...SETTINGS, maxSteps: 2 };
  assert.deepEqual(await budgetOf(source(undefined), short, undefined), { steps: 2, tokens: 14, rows: 4 });
});

test("the last step is the one that reaches the budget", async () => {
  const of = (budget: number) => budgetOf(source(undefined), SETTINGS, budget);
  // Steps of 5, 9, 13 and 8 tokens; then the next pass.
  assert.deepEqual(await of(1), { steps: 1, tokens: 5, rows: 2 });
  assert.deepEqual(await of(5), { steps: 1, tokens: 5, rows: 2 });
  assert.deepEqual(await of(6), { steps: 2, tokens: 14, rows: 4 });
  assert.deepEqual(await of(36), { steps: 5, tokens: 40, rows: 9 });
});

test("rows that are accumulated count in their step, and the order is that of the seed", async () => {
  const settings = { ...SETTINGS, gradientAccumulationSteps: 2 };
  assert.deepEqual(await budgetOf(source(undefined), settings, 6), { steps: 1, tokens: 14, rows: 4 });
  const budgets = await Promise.all([1, 2, 3, 4].map((seed) => budgetOf(source(seed), SETTINGS, 6)));
  assert.ok(new Set(budgets.map(({ tokens }) => tokens)).size > 1);
});
