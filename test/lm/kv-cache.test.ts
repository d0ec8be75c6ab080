/** Steps with a key/value cache against whole sequences: the logits after every token are the same. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { CausalLMModel } from "../../src/lm/causal-lm-model.ts";
import { KvCache } from "../../src/lm/kv-cache.ts";
import { Random } from "../../src/random.ts";
import { assertClose } from "../support/close.ts";
import { GOLDEN_NAMES, goldenModel } from "./golden-model.ts";

/** Rows of random tokens, and how much padding is before each. */
interface Rows {
  readonly inputIds: readonly (readonly number[])[];
  readonly padding: readonly number[];
}

function randomRows(vocabSize: number, length: number, padding: readonly number[]): Rows {
  const random = new Random(length);
  const token = () => Math.floor(random.uniform() * vocabSize);
  return { padding, inputIds: padding.map(() => Array.from({ length }, token)) };
}

/** Positions begin after the padding. */
function positionOf(t: number, padding: number): number {
  return Math.max(0, t - padding);
}

/** Logits after every token, B · T · V. */
async function whole(model: CausalLMModel, { inputIds, padding }: Rows): Promise<Float32Array> {
  const { logits } = await model.forward({
    inputIds,
    attentionMask: inputIds.map((row, b) => row.map((_, t) => (t < padding[b]! ? 0 : 1))),
    positionIds: inputIds.map((row, b) => row.map((_, t) => positionOf(t, padding[b]!))),
  });
  return logits;
}

/** The next tokens, in one run. @returns logits after the last one, [B · V] */
async function step(model: CausalLMModel, cache: KvCache, rows: Rows, count: number): Promise<Float32Array> {
  const from = cache.filled;
  const of = (what: (t: number, b: number) => number) =>
    Int32Array.from(rows.padding.flatMap((_, b) => Array.from({ length: count }, (_, i) => what(from + i, b))));
  const feeds = await cache.append({
    tokens: of((t, b) => rows.inputIds[b]![t]!),
    positions: of((t, b) => positionOf(t, rows.padding[b]!)),
    attended: of((t, b) => (t < rows.padding[b]! ? 0 : 1)),
  });
  return (
    await model.language.next(
      feeds,
      rows.padding.map(() => []),
    )
  ).data as Float32Array;
}

/** @param chunks of tokens, each computed in one run */
async function assertSame(model: CausalLMModel, rows: Rows, chunks: readonly number[]): Promise<void> {
  const V = model.language.model.vocabSize;
  const length = rows.inputIds[0]!.length;
  const expected = await whole(model, rows);
  const cache = new KvCache(model.language.device, model.language.model, rows.padding.length);
  for (const count of chunks) {
    const logits = await step(model, cache, rows, count);
    rows.padding.forEach((padding, b) => {
      if (cache.filled <= padding) return;
      const at = (b * length + cache.filled - 1) * V;
      const what = `row ${b} after ${cache.filled} tokens`;
      assertClose(logits.subarray(b * V, (b + 1) * V), expected.subarray(at, at + V), { ofLargest: 1e-5 }, what);
    });
  }
  assert.equal(cache.filled, length);
  await cache.free();
}

for (const name of GOLDEN_NAMES) {
  suite(`cached ${name}`, () => {
    let model: CausalLMModel;
    before(async () => {
      ({ model } = await goldenModel(name));
    });
    after(() => model.dispose());

    for (const chunks of [[11], Array<number>(11).fill(1), [5, 1, 4, 1]]) {
      test(`one sequence, in runs of ${chunks.join(", ")}`, () =>
        assertSame(model, randomRows(model.language.model.vocabSize, 11, [0]), chunks));
      test(`a batch with padding, in runs of ${chunks.join(", ")}`, () =>
        assertSame(model, randomRows(model.language.model.vocabSize, 11, [0, 3, 7]), chunks));
    }
  });
}

suite("a key/value cache", () => {
  let model: CausalLMModel;
  before(async () => {
    ({ model } = await goldenModel("llama-llama3-rope"));
  });
  after(() => model.dispose());

  test("grows, and keeps what it has", () =>
    assertSame(model, randomRows(43, 530, [0, 40]), [200, 50, ...Array<number>(12).fill(1), 238, 30]));

  test("forgets, and goes on", async () => {
    const rows = randomRows(43, 12, [0]);
    const other = { ...rows, inputIds: [rows.inputIds[0]!.map((id, t) => (t < 5 ? id : (id + 1) % 43))] };
    const cache = new KvCache(model.language.device, model.language.model, 1);
    await step(model, cache, rows, 12);
    cache.truncate(5);
    assert.equal(cache.filled, 5);
    // Fewer tokens than were forgotten: what is behind them is not seen.
    const logits = await step(model, cache, other, 3);
    const expected = await whole(model, other);
    assertClose(logits, expected.subarray(7 * 43, 8 * 43), { ofLargest: 1e-5 });
    await cache.free();
  });

  test("is held by the last one that was filled", async () => {
    const rows = randomRows(43, 4, [0]);
    const { device, model: lm } = model.language;
    const [first, second] = [new KvCache(device, lm, 1), new KvCache(device, lm, 1)];
    assert.equal(first.isHeld, false);
    await step(model, first, rows, 2);
    assert.equal(first.isHeld, true);
    await step(model, second, rows, 2);
    assert.equal(first.isHeld, false);
    await first.free();
    assert.equal(second.isHeld, true);
    await second.free();
    assert.equal(second.isHeld, false);
  });
});
