import assert from "node:assert/strict";
import { test } from "node:test";
import { Graph } from "../../../src/ir/graph.ts";
import { ndarray } from "../../../src/ir/ndarray.ts";
import { add } from "../../../src/ir/ops/add.ts";
import { reshape } from "../../../src/ir/ops/reshape.ts";
import { sumBeforeReshape } from "../../../src/ir/passes/sum-before-reshape.ts";
import { dim, shapeOf } from "../../../src/ir/shape.ts";
import { interpret } from "../../../src/runtime/interp.ts";

const matrix = (graph: Graph, name: string, shape: readonly number[]) =>
  graph.feed(name, { dtype: "float32", shape: shapeOf(shape) });
const adds = (graph: Graph) =>
  graph.nodes.filter(({ op }) => op.name === "add").map(({ outputs }) => outputs[0]!.type.shape.map((d) => d.size));

test("sums of several, in the shape that they have before", () => {
  const graph = new Graph();
  const parts = ["a", "b", "c"].map((name) => reshape(matrix(graph, name, [6, 2]), [2, 3, 2]));
  graph.output("sum", parts.reduce(add));
  const moved = sumBeforeReshape(graph);
  assert.deepEqual(adds(moved), [
    [6, 2],
    [6, 2],
  ]);
  const feeds = Object.fromEntries(
    ["a", "b", "c"].map((name, i) => [
      name,
      ndarray(
        [6, 2],
        Float64Array.from({ length: 12 }, (_, k) => i * 100 + k),
      ),
    ]),
  );
  const [got, want] = [moved, graph].map((each) => interpret(each, feeds).outputs["sum"]!);
  assert.deepEqual(got!.shape, [2, 3, 2]);
  assert.deepEqual([...got!.data], [...want!.data]);
});

test("not where the shapes before differ, or one is stretched, or the sum is a new state", () => {
  const graph = new Graph();
  graph.output("a", add(reshape(matrix(graph, "x", [6, 2]), [3, 4]), reshape(matrix(graph, "y", [2, 6]), [3, 4])));
  graph.output("b", add(reshape(matrix(graph, "u", [1, 4]), [4]), reshape(matrix(graph, "v", [4, 1]), [4, 1])));
  const state = graph.state("s", { dtype: "float32", shape: [dim(4)] });
  graph.update(state, add(reshape(matrix(graph, "p", [2, 2]), [4]), reshape(matrix(graph, "q", [2, 2]), [4])));
  assert.deepEqual(adds(sumBeforeReshape(graph)), [[3, 4], [4, 4], [4]]);
});
