/** Packing: which examples share a row, and that a packed row is trained on as if each had a row of its own. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { blocks, greedyKnapsack, knapsack, type Packed, type Packer, single } from "../../../src/data/rows/pack.ts";
import { type StoredRow, toRow } from "../../../src/data/rows/stored-row.ts";
import { countSupervised, type Row } from "../../../src/data/row-source.ts";
import { IGNORED } from "../../../src/data/sample.ts";
import { supervisedRows } from "../../../src/lm/rows.ts";
import { decoder } from "../../../src/models/decoder.ts";
import { sgd } from "../../../src/optim/sgd.ts";
import { initializeParameters } from "../../../src/parameters.ts";
import { Random } from "../../../src/random.ts";
import { ortDevice } from "../../../src/runtime/node/device-node.ts";
import type { Device } from "../../../src/runtime/runtime.ts";
import { lmGraphs } from "../../../src/train/lm-graphs.ts";
import { LmStepper } from "../../../src/train/lm-stepper.ts";

const VOCAB = 29;

/** n examples: a question that is not trained on and an answer that is, with lengths from 2 to `longest`. */
function examples(n: number, longest: number, seed = 1): Packed[] {
  const random = new Random(seed);
  return Array.from({ length: n }, (_, line) => {
    const length = 2 + random.integer(longest - 1);
    const inputIds = Int32Array.from({ length }, () => random.integer(VOCAB));
    const answer = 1 + random.integer(length - 1);
    return { inputIds, trained: Int32Array.of(answer, length), source: { dataset: "d", file: "f", line } };
  });
}

function pack(packer: Packer, all: readonly Packed[]): StoredRow[] {
  return [...all.flatMap((example) => packer.add(example)), ...packer.end()];
}

suite("greedy knapsack", () => {
  test("takes the longest that fits, as LLaMA-Factory does", () => {
    // numbers = [3, 7, 5, 2, 5, 10]; greedy_knapsack(numbers, 10) gives [[10], [7, 3], [5, 5], [2]].
    assert.deepEqual(greedyKnapsack([3, 7, 5, 2, 5, 10], 10), [[5], [1, 0], [4, 2], [3]]);
    assert.deepEqual(greedyKnapsack([], 10), []);
  });

  test("loses and repeats nothing, and keeps to the capacity", () => {
    const lengths = examples(2300, 60).map(({ inputIds }) => inputIds.length);
    const rows = greedyKnapsack(lengths, 64);
    assert.deepEqual(
      rows.flat().toSorted((a, b) => a - b),
      lengths.map((_, i) => i),
    );
    for (const row of rows) assert.ok(row.reduce((sum, i) => sum + lengths[i]!, 0) <= 64);
  });
});

suite("rows", () => {
  test("of packed examples have each of them whole, with labels and sources", () => {
    const all = examples(1200, 20);
    const rows = pack(knapsack(64), all);
    assert.ok(rows.length < all.length / 3);
    let seen = 0;
    for (const row of rows) {
      let at = 0;
      assert.equal(row.lengths!.length, row.sources.length);
      for (const [i, length] of row.lengths!.entries()) {
        const example = all[row.sources[i]!.line]!;
        const labels = toRow(row).labels.slice(at, at + length);
        const expected = toRow({ ...example, sources: [] });
        assert.deepEqual(row.inputIds.slice(at, at + length), example.inputIds);
        assert.deepEqual(labels, expected.labels);
        at += length;
        seen++;
      }
      assert.equal(at, row.inputIds.length);
    }
    assert.equal(seen, all.length);
  });

  test("of texts are full, and each piece of a text begins anew", () => {
    const text = (length: number, line: number): Packed => ({
      inputIds: Int32Array.from({ length }, (_, i) => 100 * line + i),
      trained: Int32Array.of(1, length),
      source: { dataset: "d", file: "f", line },
    });
    const rows = pack(blocks(8), [text(5, 1), text(12, 2), text(3, 3)]);
    assert.deepEqual(
      rows.map(({ lengths }) => lengths),
      [[5, 3], [8], [1, 3]],
    );
    assert.deepEqual([...rows[1]!.inputIds], [203, 204, 205, 206, 207, 208, 209, 210]);
    assert.deepEqual([...toRow(rows[2]!).labels], [IGNORED, IGNORED, 301, 302]);
    assert.deepEqual(
      rows[2]!.sources.map(({ line }) => line),
      [2, 3],
    );
    // One token alone teaches nothing.
    assert.equal(pack(blocks(8), [text(9, 1)]).length, 1);
  });
});

suite("the loss and the gradients of packed rows", () => {
  const model = decoder({
    modelType: "qwen2",
    vocabSize: VOCAB,
    hiddenSize: 16,
    intermediateSize: 24,
    blocks: 2,
    heads: 4,
    kvHeads: 2,
    headDim: 4,
    normEpsilon: 1e-6,
    rope: { theta: 10_000 },
    maxPositions: 64,
    tied: true,
    qkvBias: true,
    outputBias: false,
    mlpBias: false,
    qkNorm: false,
    window: () => undefined,
    initializerRange: 0.3,
  });

  /** Loss and gradients of one step over the rows, `size` of them in a micro-batch. */
  async function stepOver(
    device: Device,
    rows: readonly Row[],
    size: number,
  ): Promise<{ loss: number; supervised: number; gradients: Map<string, Float32Array> }> {
    await initializeParameters(device, model.parameters, 5);
    const optimizer = sgd();
    const graphs = lmGraphs({
      model,
      trained: model.parameters,
      stateOf: (name) => model.tied[name] ?? name,
      optimizerOf: () => optimizer,
      chunks: 1,
      checkpoint: false,
      typicalSizes: {},
    });
    const options = { model, optimizers: [optimizer], chunks: 1, maxGradNorm: 0, seed: 0, compile: {} };
    const stepper = await LmStepper.create(device, graphs, options);
    try {
      const batches = Array.from({ length: Math.ceil(rows.length / size) }, (_, i) =>
        supervisedRows(rows.slice(i * size, (i + 1) * size), 0),
      );
      const { loss, supervised } = await stepper.step(batches, 0);
      const gradients = new Map<string, Float32Array>();
      for (const { name } of graphs.gradients) {
        gradients.set(name, Float32Array.from((await device.read(name)).data as Float32Array));
      }
      return { loss, supervised, gradients };
    } finally {
      await stepper.dispose();
    }
  }

  function farthest(a: ReadonlyMap<string, Float32Array>, b: ReadonlyMap<string, Float32Array>): number {
    let most = 0;
    for (const [name, values] of a) {
      values.forEach((value, i) => (most = Math.max(most, Math.abs(value - b.get(name)![i]!))));
    }
    return most;
  }

  test("are those of the same examples in rows of their own", async () => {
    const device = await ortDevice({ threads: 1 });
    try {
      const all = examples(24, 12, 3);
      const apart = pack(single(), all).map(toRow);
      const together = pack(knapsack(32), all).map(toRow);
      assert.ok(together.length < 10 && together.every(({ lengths }) => lengths!.length > 0));
      const expected = await stepOver(device, apart, 4);
      const packed = await stepOver(device, together, 2);
      assert.equal(packed.supervised, expected.supervised);
      assert.equal(
        packed.supervised,
        together.reduce((sum, row) => sum + countSupervised(row), 0),
      );
      assert.ok(Math.abs(packed.loss - expected.loss) < 1e-6, `${packed.loss} and ${expected.loss}`);
      // Sums of float32 products in another order.
      assert.ok(farthest(packed.gradients, expected.gradients) < 2e-6);

      // Were examples to see each other, both would be far off.
      const seeing = await stepOver(
        device,
        together.map(({ inputIds, labels }) => ({ inputIds, labels })),
        2,
      );
      assert.ok(Math.abs(seeing.loss - expected.loss) > 1e-3);
      assert.ok(farthest(seeing.gradients, expected.gradients) > 1e-3);
    } finally {
      await device.dispose();
    }
  });
});
