import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Graph } from "../../../src/ir/graph.ts";
import { ndarray } from "../../../src/ir/ndarray.ts";
import { integerMatmul } from "../../../src/ir/ops/integer-matmul.ts";
import { quantizeRows, type RowLevels } from "../../../src/ir/ops/quantize-rows.ts";
import {
  hasIntegerProducts,
  narrowRows,
  NARROW_LEVELS,
  type RunOnce,
  saturates,
} from "../../../src/ir/passes/narrow-rows.ts";
import { dim } from "../../../src/ir/shape.ts";
import { interpret } from "../../../src/runtime/interp.ts";
import { ortDevice } from "../../../src/runtime/node/device-node.ts";

/** An engine that adds in whole numbers. */
const exact: RunOnce = async (graph, feeds) => {
  const arrays = Object.fromEntries(
    Object.entries(feeds).map(([name, { shape, data }]) => [name, ndarray(shape, Float64Array.from(data, Number))]),
  );
  return interpret(graph, arrays).outputs;
};

/** One that adds products in pairs in 16 bits first, as `vpmaddubsw` does. */
const saturating: RunOnce = async (_graph, { q, W }) => {
  const [[rows, inner], [, columns]] = [q!.shape, W!.shape] as [[number, number], [number, number]];
  const product = (m: number, n: number, k: number) =>
    Number(q!.data[m * inner + k]) * Number(W!.data[k * columns + n]);
  const data = Array.from({ length: rows * columns }, (_, i) => {
    const [m, n] = [Math.floor(i / columns), i % columns];
    let sum = 0;
    for (let k = 0; k < inner; k += 2) {
      sum += Math.max(-32768, Math.min(32767, product(m, n, k) + product(m, n, k + 1)));
      sum -= 128 * (Number(W!.data[k * columns + n]) + Number(W!.data[(k + 1) * columns + n]));
    }
    return sum;
  });
  return { product: { data } };
};

function someProduct(rows: number, inner: number, columns: number): Graph {
  const graph = new Graph();
  const x = graph.feed("x", { dtype: "float32", shape: [dim(rows), dim(inner)] });
  const W = graph.feed("W", { dtype: "int8", shape: [dim(columns), dim(inner)] });
  graph.output("y", integerMatmul(x, W, { transB: true, terms: 2 }));
  return graph;
}

describe("narrowRows", () => {
  it("gives everything that is quantised the levels of 7 bits, and keeps their other attributes", () => {
    const levels = (graph: Graph) =>
      graph.nodes.flatMap(({ attrs }) => ("levels" in attrs ? [(attrs as RowLevels).levels] : []));
    const wide = someProduct(2, 4, 3);
    assert.deepEqual(levels(wide), [127, 127, 127, 127, 127]);
    const narrow = narrowRows(wide);
    assert.deepEqual(levels(narrow), Array(5).fill(NARROW_LEVELS));
    const transposed = (graph: Graph) => graph.nodes.filter(({ attrs }) => attrs["transB"] === true).length;
    assert.equal(transposed(narrow), 2);
  });

  it("has nothing to do where nothing is multiplied", () => {
    const graph = new Graph();
    graph.output("q", quantizeRows(graph.feed("x", { dtype: "float32", shape: [dim(2), dim(3)] })).q);
    assert.equal(hasIntegerProducts(graph), false);
    assert.equal(hasIntegerProducts(someProduct(2, 4, 3)), true);
  });
});

describe("saturates", () => {
  it("tells an engine that saturates from one that does not", async () => {
    assert.equal(await saturates(exact), false);
    assert.equal(await saturates(saturating), true);
  });

  it("is false for rows in 7 bits even there: the largest pair fits 16 bits", () => {
    assert.ok(2 * (2 * NARROW_LEVELS + 1) * 127 <= 32767);
    assert.ok(2 * (2 * (NARROW_LEVELS + 1) + 1) * 127 > 32767);
  });
});

it("the device's products of the largest numbers are exact, in as many bits as it takes", async () => {
  const [rows, inner, columns] = [16, 512, 48];
  // Rows of one sign, weights of one sign: every pair of products is the largest one.
  const x = new Float32Array(rows * inner).fill(3);
  const W = new Int8Array(columns * inner).fill(127);
  const device = await ortDevice({ threads: 1 });
  try {
    const executable = await device.compile(someProduct(rows, inner, columns));
    const { y } = await executable.run({
      x: { dtype: "float32", shape: [rows, inner], data: x },
      W: { dtype: "int8", shape: [columns, inner], data: W },
    });
    const want = 3 * 127 * inner;
    for (const value of y!.data) assert.ok(Math.abs(Number(value) / want - 1) < 1e-6, `${value}, not ${want}`);
  } finally {
    await device.dispose();
  }
});
