/** The search for the intrinsic dimension: how many runs it takes, and what it says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { findD90 } from "../../src/train/d90/find-d90.ts";

/** A loss that falls from 4 to 1, half of it at `half` dimensions. */
const curve = (half: number) => {
  const asked: number[] = [];
  const measure = async (d: number) => {
    asked.push(d);
    return 4 - (3 * d) / (d + half);
  };
  return { asked, measure };
};

test("finds the least power of two that is good enough, with a run for each halving", async () => {
  const { asked, measure } = curve(10);
  const { d90, isLowest, tried } = await findD90({ base: 4, full: 1, measure, maxD: 2 ** 12 });
  // d / (d + 10) >= 0.9 from d = 90 on.
  assert.equal(d90, 128);
  assert.equal(isLowest, false);
  assert.deepEqual(asked, [4096, 32, 256, 64, 128]);
  assert.deepEqual(
    tried.map(({ d }) => d),
    [32, 64, 128, 256, 4096],
  );
  assert.ok(Math.abs(tried[0]!.gain - 32 / 42) < 1e-12);
  const looser = curve(10);
  assert.equal((await findD90({ base: 4, full: 1, measure: looser.measure, maxD: 2 ** 12, share: 0.5 })).d90, 16);
});

test("says so where none is good enough, or even the least", async () => {
  const hard = curve(1e6);
  assert.deepEqual((await findD90({ base: 4, full: 1, measure: hard.measure, maxD: 64 })).d90, undefined);
  assert.deepEqual(hard.asked, [64]);
  const { d90, isLowest } = await findD90({ base: 4, full: 1, measure: curve(0.01).measure, maxD: 64, minD: 2 });
  assert.deepEqual([d90, isLowest], [2, true]);
});

test("refuses what cannot be compared", async () => {
  const run = (options: object) => findD90({ base: 4, full: 1, measure: curve(1).measure, maxD: 64, ...options });
  await assert.rejects(run({ full: 4 }), /training every weight does not make the loss[^]*got 4 before, 4 after/);
  await assert.rejects(run({ full: Number.NaN }), /d90/);
  await assert.rejects(run({ maxD: 60 }), /the largest d is not a power of two: got 60/);
  await assert.rejects(run({ maxD: 2, minD: 4 }), /the largest d is less than the smallest/);
});
