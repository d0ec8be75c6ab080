/** Orders by length against transformers' own (golden/make/length_groups.py), and the same rows wherever they are kept. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { lengthGrouped } from "../../src/data/length-groups.ts";
import { memoryRows, type Row, type RowOrder, type RowSource } from "../../src/data/row-source.ts";
import { storedRows, trainedRuns } from "../../src/data/rows/stored-row.ts";
import { openTokenCache, TokenCacheWriter } from "../../src/data/rows/token-cache.ts";
import { temporaryFolder } from "../train/run/temporary-folder.ts";

interface Golden {
  readonly cases: readonly {
    readonly size: number;
    readonly lengths: readonly number[];
    readonly order: readonly number[];
    readonly grouped: readonly number[];
  }[];
}

const golden = JSON.parse(readFileSync("golden/length-groups.json", "utf8")) as Golden;

test("the orders of transformers, from the same random order", () => {
  for (const { size, lengths, order, grouped } of golden.cases) {
    const ours = lengthGrouped(Uint32Array.from(order), (row) => lengths[row]!, size);
    assert.deepEqual([...ours], grouped, `${lengths.length} rows, ${size} in a step`);
  }
  assert.deepEqual(
    lengthGrouped(new Uint32Array(), () => 1, 4),
    new Uint32Array(),
  );
});

const LENGTHS = Array.from({ length: 90 }, (_, i) => 1 + ((i * 37) % 61));
const ROWS: readonly Row[] = LENGTHS.map((length, i) => {
  const inputIds = new Int32Array(length).fill(i);
  return { inputIds, labels: inputIds };
});
async function ids(source: RowSource, epoch: number, from = 0): Promise<number[]> {
  const found: number[] = [];
  for await (const { inputIds } of source.rows(epoch, from)) found.push(inputIds[0]!);
  return found;
}

test("in every epoch each row is there once, the longest is first, and little is padded", async () => {
  const size = 6;
  const order: RowOrder = { seed: 4, groupOf: size };
  const source = memoryRows(ROWS, order);
  const padded = (rows: readonly number[]) => {
    let count = 0;
    for (let at = 0; at < rows.length; at += size) {
      const lengths = rows.slice(at, at + size).map((row) => LENGTHS[row]!);
      count += lengths.length * Math.max(...lengths) - lengths.reduce((a, b) => a + b, 0);
    }
    return count;
  };
  const [first, second] = [await ids(source, 0), await ids(source, 1)];
  assert.deepEqual(
    first.toSorted((a, b) => a - b),
    LENGTHS.map((_, i) => i),
  );
  assert.notDeepEqual(first, second);
  assert.equal(LENGTHS[first[0]!], Math.max(...LENGTHS));
  assert.deepEqual(await ids(source, 1, 13), second.slice(13), "a resumed run goes on in the same order");
  const random = padded(await ids(memoryRows(ROWS, { seed: 4 }), 0));
  assert.ok(padded(first) < random / 2, `${padded(first)} of padding, ${random} without`);
  const plain = await ids(memoryRows(ROWS, { seed: undefined, groupOf: size }), 0);
  assert.deepEqual(
    plain,
    LENGTHS.map((_, i) => i),
    "rows that stay in their order",
  );
});

test("rows in memory and rows in the token cache have the same order", async (context) => {
  const order: RowOrder = { seed: 4, groupOf: 6 };
  // More than is read of a file at a time.
  const rows = LENGTHS.map((length, i) => {
    const inputIds = new Int32Array(200 * length + i).fill(i);
    return { inputIds, labels: inputIds, trained: trainedRuns(inputIds), sources: [] };
  });
  const expected = await ids(memoryRows(rows, order), 3);
  assert.deepEqual(await ids(storedRows(rows, order), 3), expected);
  const dir = join(await temporaryFolder(context), "cache");
  const writer = await TokenCacheWriter.create(dir);
  for (const row of rows) await writer.add(row);
  await writer.finish("key", {} as never);
  const cache = await openTokenCache(dir, "key", { order });
  assert.ok(cache !== undefined && "rows" in cache);
  assert.deepEqual(await ids(cache.rows, 3), expected);
});
