import assert from "node:assert/strict";
import test from "node:test";
import { Graph, type Value } from "../../../src/ir/graph.ts";
import { add } from "../../../src/ir/ops/add.ts";
import { constant } from "../../../src/ir/ops/constant.ts";
import { mul } from "../../../src/ir/ops/mul.ts";
import { reduceSum } from "../../../src/ir/ops/reduce-sum.ts";
import { sub } from "../../../src/ir/ops/sub.ts";
import { tanh } from "../../../src/ir/ops/tanh.ts";
import { mergeCommonSubexpressions } from "../../../src/ir/passes/common-subexpressions.ts";
import { orderInPlace } from "../../../src/ir/passes/in-place.ts";
import { tileUpdates } from "../../../src/ir/passes/tile-updates.ts";
import { shapeOf } from "../../../src/ir/shape.ts";

function merged(build: (graph: Graph, x: Value, y: Value) => readonly Value[]): string[] {
  const graph = new Graph();
  const feed = (name: string) => graph.feed(name, { dtype: "float32", shape: shapeOf([2, 3]) });
  build(graph, feed("x"), feed("y")).forEach((value, i) => graph.output(`y${i}`, value));
  return mergeCommonSubexpressions(graph).nodes.map(({ op }) => op.name);
}

test("equal nodes become one, and so do nodes that become equal", () => {
  assert.deepEqual(
    merged((_graph, x, y) => [add(tanh(x), y), add(tanh(x), y)]),
    ["tanh", "add"],
  );
});

test("other inputs, another order of inputs or other attributes make another node", () => {
  assert.deepEqual(
    merged((_graph, x, y) => [sub(x, y), sub(y, x)]),
    ["sub", "sub"],
  );
  assert.deepEqual(
    merged((_graph, x) => [reduceSum(x, [0]), reduceSum(x, [1]), reduceSum(x, [1], true), reduceSum(x, [1])]),
    ["reduceSum", "reduceSum", "reduceSum"],
  );
});

test("constants that JSON would print alike are not alike", () => {
  const numbers = [NaN, Infinity, -Infinity, 0, -0, 1];
  assert.deepEqual(
    merged((graph, x) => numbers.map((value) => mul(x, constant(graph, "float32", [], [value])))).length,
    2 * numbers.length,
  );
  assert.deepEqual(
    merged((graph) => [constant(graph, "float32", [1], [NaN]), constant(graph, "float32", [1], [NaN])]),
    ["constant"],
  );
  assert.equal(merged((graph) => [constant(graph, "float32", [1], [1]), constant(graph, "int32", [1], [1])]).length, 2);
});

test("a recomputed node is not merged with the first one, nor with that of another region", () => {
  const names = merged((graph, x) => [
    graph.checkpoint(() => tanh(x)),
    tanh(x),
    graph.recompute(1, () => tanh(x)),
    graph.recompute(1, () => tanh(x)),
    graph.recompute(2, () => tanh(x)),
  ]);
  assert.deepEqual(names, ["tanh", "tanh", "tanh"]);
});

test("nodes with bodies are left alone", () => {
  const graph = new Graph();
  const type = { dtype: "float32" as const, shape: shapeOf([1024, 512]) };
  for (const name of ["a", "b"]) {
    const state = graph.state(name, type);
    graph.update(state, mul(state, constant(graph, "float32", [], [0.5])));
  }
  const tiled = tileUpdates(orderInPlace(graph));
  const count = (from: Graph) => from.nodes.filter(({ op }) => op.name === "mapRows").length;
  assert.equal(count(tiled), 2);
  assert.equal(count(mergeCommonSubexpressions(tiled)), 2);
});
