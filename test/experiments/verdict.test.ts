/** Verdicts on numbers whose answers are known. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { sampleOf, spreadOf } from "../../src/experiments/frame/statistics.ts";
import { allOf, isAbove, isAboveLevel, isBelowLevel, isSame } from "../../src/experiments/frame/verdict.ts";

test("a direction holds when the mean difference is more than two standard errors above 0", () => {
  // Differences 3, 4, 5: mean 4, deviation 1, error 0.577.
  assert.equal(isAbove([13, 24, 35], [10, 20, 30]).holds, "yes");
  assert.equal(isAbove([10, 20, 30], [13, 24, 35]).holds, "no");
  // Differences 3, -4, 5: mean 1.33, error 2.73.
  assert.equal(isAbove([13, 16, 35], [10, 20, 30]).holds, "inconclusive");
  assert.match(isAbove([13, 24, 35], [10, 20, 30]).words, /\+4\.00 ± 0\.58 s\.e\. \(3 seeds\)/);
});

test("pairs of a seed are compared with each other: what the seed does to both cancels", () => {
  assert.equal(isAbove([1.1, 101.1, 1001.1], [1, 101, 1001]).holds, "yes");
});

test("just within and just beyond two standard errors", () => {
  // Mean m, deviation 1, n = 4: error 0.5, so that the limit is 1.
  const around = (mean: number) => [-1.5, -0.5, 0.5, 1.5].map((value) => mean + value / Math.sqrt(5 / 3));
  const zeros = [0, 0, 0, 0];
  assert.equal(isAbove(around(1.01), zeros).holds, "yes");
  assert.equal(isAbove(around(0.99), zeros).holds, "inconclusive");
  assert.equal(isAbove(around(-1.01), zeros).holds, "no");
});

test("a single seed, or none, decides nothing", () => {
  assert.equal(isAbove([9], [1]).holds, "inconclusive");
  assert.equal(isAbove([], []).holds, "inconclusive");
  assert.match(isAbove([], []).words, /no data/);
  assert.equal(isSame([1], [1], 0.1).holds, "inconclusive");
  assert.equal(isAboveLevel([9], 1).holds, "inconclusive");
});

test("a seed that failed is left out with its partner", () => {
  assert.equal(isAbove([13, NaN, 35], [10, -1000, 30]).holds, "yes");
  assert.match(isAbove([13, NaN, 35], [10, -1000, 30]).words, /2 seeds/);
});

test("the same in every seed is no difference", () => {
  assert.equal(isAbove([0, 0, 0], [0, 0, 0]).holds, "no");
  assert.equal(isAbove([5, 5, 5], [4, 4, 4]).holds, "yes");
});

test("a least difference", () => {
  assert.equal(isAbove([13, 24, 35], [10, 20, 30], { least: 2 }).holds, "yes");
  assert.equal(isAbove([13, 24, 35], [10, 20, 30], { least: 3.5 }).holds, "inconclusive");
  assert.equal(isAbove([13, 24, 35], [10, 20, 30], { least: 6 }).holds, "no");
});

test("the same within a margin", () => {
  const a = [0.91, 0.92, 0.93];
  const b = [0.905, 0.925, 0.93];
  assert.equal(isSame(a, b, 0.03).holds, "yes");
  assert.equal(isSame(a, b, 0.004).holds, "inconclusive");
  assert.equal(isSame([1, 1.01, 0.99], [0.5, 0.51, 0.5], 0.03).holds, "no");
});

test("a level", () => {
  assert.equal(isAboveLevel([0.6, 0.7, 0.65], 0.5).holds, "yes");
  assert.equal(isAboveLevel([0.3, 0.4, 0.35], 0.5).holds, "no");
  assert.equal(isAboveLevel([0.3, 0.8, 0.55], 0.5).holds, "inconclusive");
});

test("below a level", () => {
  assert.equal(isBelowLevel([0.3, 0.4, 0.35], 0.5).holds, "yes");
  assert.equal(isBelowLevel([0.6, 0.7, 0.65], 0.5).holds, "no");
  assert.equal(isBelowLevel([0.3, 0.8, 0.55], 0.5).holds, "inconclusive");
  assert.match(isBelowLevel([0.3, 0.4, 0.35], 0.5).words, /−0\.15/);
});

test("what was decided on is kept as it was", () => {
  const [evidence] = isAbove([13, NaN, 35.125], [10, 0, 30], { digits: 1, least: 2 }).evidence;
  assert.ok(evidence?.test === "above");
  const { standard_error, ...others } = evidence;
  assert.ok(Math.abs(standard_error - (5.125 - 3) / 2) < 1e-12);
  assert.deepEqual(others, {
    test: "above",
    values: [13, NaN, 35.125],
    against: [10, 0, 30],
    margin: 2,
    mean_difference: (3 + 5.125) / 2,
    n: 2,
    holds: "inconclusive",
  });
  assert.equal(isSame([1], [1], 0.1).evidence[0]!.test, "same");
});

test("all of several: the weakest speaks", () => {
  const [yes, no, open] = [
    isAbove([3, 4, 5], [0, 0, 0]),
    isAbove([0, 0, 0], [3, 4, 5]),
    isAbove([1, -2, 2], [0, 0, 0]),
  ];
  const named = (...verdicts: (typeof yes)[]) => verdicts.map((verdict, i) => [`part ${i}`, verdict] as const);
  assert.equal(allOf(named(yes, yes)).holds, "yes");
  assert.equal(allOf(named(yes, open)).holds, "inconclusive");
  assert.equal(allOf(named(open, no, yes)).holds, "no");
  assert.equal(allOf([]).holds, "inconclusive");
  assert.deepEqual(
    allOf(named(open, no)).evidence.map(({ of, holds }) => [of, holds]),
    [
      ["part 0", "inconclusive"],
      ["part 1", "no"],
    ],
  );
  const strong = isAbove([100, 101, 102], [0, 0, 0]);
  assert.match(allOf(named(strong, yes)).words, /weakest: difference \+4\.00/);
});

test("mean and deviation of a sample", () => {
  assert.deepEqual(sampleOf([2, 4, 6, NaN]), { mean: 4, deviation: 2, error: 2 / Math.sqrt(3), n: 3 });
  assert.equal(spreadOf([2, 4, 6], 1), "4.0 ± 2.0");
  assert.equal(spreadOf([2], 1), "2.0");
  assert.equal(spreadOf([NaN], 1), "–");
});
