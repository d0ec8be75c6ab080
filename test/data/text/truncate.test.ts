import assert from "node:assert/strict";
import { test } from "node:test";
import { concatenate, inferSeqlen, truncateLast, truncateTurns } from "../../../src/data/text/truncate.ts";
import type { Turn } from "../../../src/data/text/truncate.ts";

const ids = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
const turn = (source: number[], target: number[], closing = 0): Turn => ({
  source: Int32Array.from(source),
  target: Int32Array.from(target),
  closing,
});
const listed = ({ source, target }: Turn): number[][] => [[...source], [...target]];

test("question and answer share the room as in LLaMA-Factory", () => {
  for (const [source, target, room, kept] of [
    [10, 20, 100, [10, 20]],
    [150, 20, 100, [80, 20]],
    [20, 150, 100, [20, 80]],
    [150, 150, 100, [50, 50]],
    [45, 90, 100, [45, 55]],
    [300, 100, 128, [96, 32]],
    // Half of the room exactly is no longer less than half: in proportion.
    [100, 50, 100, [67, 33]],
    [50, 100, 100, [34, 66]],
  ] as const) {
    assert.deepEqual(inferSeqlen(source, target, room), kept, `${source}, ${target}, ${room}`);
  }
});

test("turns from the first on, each with what is left of the room", () => {
  const turns = [turn(ids(0, 4), ids(4, 8)), turn(ids(8, 18), ids(18, 20)), turn(ids(20, 24), ids(24, 28))];
  assert.deepEqual(truncateTurns(turns, 16).map(listed), [
    [ids(0, 4), ids(4, 8)],
    [ids(8, 14), ids(18, 20)],
  ]);
  assert.deepEqual(truncateTurns(turns, 28).map(listed), turns.map(listed));
});

test("a question that is cut keeps what closes it", () => {
  const [kept] = truncateTurns([turn(ids(0, 20), [50], 3)], 11);
  assert.deepEqual(listed(kept!), [[...ids(0, 7), 17, 18, 19], [50]]);
});

test("an answer that is cut loses its end", () => {
  const [kept] = truncateTurns([turn([1], ids(10, 20))], 5);
  assert.deepEqual(listed(kept!), [[1], ids(10, 14)]);
});

test("the last turn comes first, and the end of what was before it next", () => {
  const whole = turn(ids(0, 20), ids(20, 24), 1);
  assert.deepEqual(listed(truncateLast(whole, 15, 12)), [ids(12, 20), ids(20, 24)]);
  assert.deepEqual(listed(truncateLast(whole, 15, 9)), [ids(15, 20), ids(20, 24)]);
  // Four of nine tokens of the turn are the answer: three of seven.
  assert.deepEqual(listed(truncateLast(whole, 15, 7)), [[15, 16, 17, 19], ids(20, 23)]);
});

test("parts one after the other", () => {
  assert.deepEqual([...concatenate([Int32Array.of(1), new Int32Array(), Int32Array.of(2, 3)])], [1, 2, 3]);
});
