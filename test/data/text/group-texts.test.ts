import assert from "node:assert/strict";
import { test } from "node:test";
import { groupTexts } from "../../../src/data/text/group-texts.ts";

async function rowsOf(texts: readonly (readonly number[])[], cutoffLen: number): Promise<number[][]> {
  const rows: number[][] = [];
  for await (const { inputIds, labels } of groupTexts(
    texts.map((text) => Int32Array.from(text)),
    cutoffLen,
  )) {
    assert.deepEqual([...labels], [-100, ...inputIds.slice(1)]);
    rows.push([...inputIds]);
  }
  return rows;
}

test("texts become rows of one length, and the rest a shorter one", async () => {
  assert.deepEqual(await rowsOf([[1, 2, 3, 4, 5], [], [6, 7], [8, 9, 10]], 4), [
    [1, 2, 3, 4],
    [5, 6, 7, 8],
    [9, 10],
  ]);
});

test("one token is no row", async () => {
  assert.deepEqual(await rowsOf([[1, 2, 3]], 2), [[1, 2]]);
  assert.deepEqual(await rowsOf([], 2), []);
});

test("nothing is read before it is needed", async () => {
  let read = 0;
  async function* endless(): AsyncGenerator<Int32Array> {
    for (;;) {
      read++;
      yield Int32Array.of(1, 2, 3);
    }
  }
  for await (const { inputIds } of groupTexts(endless(), 4)) {
    assert.deepEqual([...inputIds], [1, 2, 3, 1]);
    break;
  }
  assert.equal(read, 2);
});
