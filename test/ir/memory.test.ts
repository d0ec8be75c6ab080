/** Peak memory of graphs that are small enough to count by hand. One float32 is 4 bytes. */
import assert from "node:assert/strict";
import test from "node:test";
import { ShapeError } from "../../src/errors.ts";
import { Graph } from "../../src/ir/graph.ts";
import { peakMemory } from "../../src/ir/memory.ts";
import { add } from "../../src/ir/ops/add.ts";
import { scalar } from "../../src/ir/ops/constant.ts";
import { matmul } from "../../src/ir/ops/matmul.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { relu } from "../../src/ir/ops/relu.ts";
import { reshape } from "../../src/ir/ops/reshape.ts";
import { transpose } from "../../src/ir/ops/transpose.ts";
import { dim, type DimLike, shapeOf } from "../../src/ir/shape.ts";

function traced(shapes: readonly (readonly DimLike[])[]) {
  const graph = new Graph();
  const feeds = shapes.map((shape, i) => graph.feed(`x${i}`, { dtype: "float32", shape: shapeOf(shape) }));
  return { graph, feeds };
}

test("inputs are not counted, results are", () => {
  const { graph, feeds } = traced([[3, 5]]);
  graph.output("x", feeds[0]!);
  assert.deepEqual(peakMemory(graph), { bytes: 0, live: [] });
  const result = matmul(feeds[0]!, feeds[0]!, { transB: true });
  graph.output("y", result);
  const { bytes, node, live } = peakMemory(graph);
  assert.equal(bytes, 4 * 9);
  assert.equal(node, result.producer);
  assert.deepEqual(live, [{ name: result.name, bytes: 36 }]);
});

test("a value is freed after its last reader, and not before", () => {
  const { graph, feeds } = traced([
    [2, 100],
    [100, 50],
    [50, 3],
  ]);
  const [x, y, z] = feeds;
  const first = matmul(x!, y!);
  const second = matmul(first, z!);
  graph.output("second", matmul(second, transpose(second, [1, 0])));
  // 2 × 50 and 2 × 3 together; afterwards only small ones.
  assert.equal(peakMemory(graph).bytes, 4 * (100 + 6));
  graph.output("first", first);
  // Now the first stays, with 2 × 3, 3 × 2 and 2 × 2 at the end.
  assert.equal(peakMemory(graph).bytes, 4 * (100 + 6 + 6 + 4));
});

test("an elementwise operation writes over an input that dies, of the same size", () => {
  const { graph, feeds } = traced([[10, 10]]);
  const product = matmul(feeds[0]!, feeds[0]!);
  const scaled = mul(product, scalar(graph, 2));
  graph.output("y", relu(scaled));
  assert.equal(peakMemory(graph).bytes, 4 * 100);
  // Both are read again: each has memory of its own, and the sum takes that of one of them.
  graph.output("z", add(product, scaled));
  assert.equal(peakMemory(graph).bytes, 4 * 300);
});

test("an input is never written over, and a stretched one cannot hold the result", () => {
  const { graph, feeds } = traced([
    [10, 10],
    [10, 2],
    [2, 1],
  ]);
  graph.output("y", add(relu(feeds[0]!), matmul(feeds[1]!, feeds[2]!)));
  assert.equal(peakMemory(graph).bytes, 4 * (100 + 10));
});

test("a reshaped value shares memory, and keeps it alive", () => {
  const { graph, feeds } = traced([[4, 6]]);
  const product = matmul(feeds[0]!, feeds[0]!, { transB: true });
  const flat = reshape(product, [16, 1]);
  graph.output("y", matmul(flat, flat, { transA: true }));
  assert.equal(peakMemory(graph).bytes, 4 * (16 + 1));
  const view = traced([[4, 6]]);
  view.graph.output("y", matmul(reshape(view.feeds[0]!, [24, 1]), reshape(view.feeds[0]!, [1, 24])));
  assert.equal(peakMemory(view.graph).bytes, 4 * 576, "a reshaped input is still the input");
});

test("new states are written over the old ones", () => {
  const { graph, feeds } = traced([[5, 5]]);
  const state = graph.state("w", { dtype: "float32", shape: shapeOf([5, 5]) });
  const step = matmul(feeds[0]!, feeds[0]!);
  graph.update(state, add(state, step));
  assert.equal(peakMemory(graph).bytes, 4 * 25);
});

test("sizes that are known by name only have to be given", () => {
  const { graph, feeds } = traced([["B", 7]]);
  graph.output("y", matmul(feeds[0]!, feeds[0]!, { transB: true }));
  assert.equal(peakMemory(graph, { B: 3 }).bytes, 4 * 9);
  assert.equal(peakMemory(graph, { B: 30 }).bytes, 4 * 900);
  assert.throws(() => peakMemory(graph), ShapeError);
});

test("element types have their own sizes", () => {
  const graph = new Graph();
  const x = graph.feed("x", { dtype: "float64", shape: [dim(6)] });
  graph.output("y", relu(x));
  assert.equal(peakMemory(graph).bytes, 48);
});
