import assert from "node:assert/strict";
import test from "node:test";
import { Graph, type Value } from "../../../src/ir/graph.ts";
import { add } from "../../../src/ir/ops/add.ts";
import { cast } from "../../../src/ir/ops/cast.ts";
import { constant, type ConstantAttrs, scalar } from "../../../src/ir/ops/constant.ts";
import { expand } from "../../../src/ir/ops/expand.ts";
import { mul } from "../../../src/ir/ops/mul.ts";
import { reshape } from "../../../src/ir/ops/reshape.ts";
import { foldConstants } from "../../../src/ir/passes/fold-constants.ts";
import { shapeOf } from "../../../src/ir/shape.ts";

function folded(build: (graph: Graph) => Value): Graph {
  const graph = new Graph();
  graph.output("y", build(graph));
  return foldConstants(graph);
}

test("what is made of constants is a constant, with its type", () => {
  const { nodes, outputs } = folded((graph) =>
    cast(reshape(mul(constant(graph, "float32", [4], [1, 2, 3, 4]), scalar(graph, 2)), [2, 2]), "int32"),
  );
  const { op, attrs } = outputs.get("y")!.producer!;
  assert.equal(op.name, "constant");
  assert.deepEqual(attrs, { dtype: "int32", shape: [2, 2], values: [2, 4, 6, 8] } satisfies ConstantAttrs);
  assert.ok(nodes.every((node) => node.op.name === "constant"));
});

test("what an input takes part in is not", () => {
  const graph = new Graph();
  const x = graph.feed("x", { dtype: "float32", shape: shapeOf([2]) });
  graph.output("y", add(x, mul(scalar(graph, 3), scalar(graph, 4))));
  const { producer } = foldConstants(graph).outputs.get("y")!;
  assert.equal(producer!.op.name, "add");
  assert.deepEqual((producer!.inputs[1]!.producer!.attrs as ConstantAttrs).values, [12]);
});

test("constants stay small: up to 1024 elements, and no sizes known by name only", () => {
  const nameOf = (dims: readonly (number | string)[]) =>
    folded((graph) => expand(scalar(graph, 1), shapeOf(dims))).outputs.get("y")!.producer!.op.name;
  assert.equal(nameOf([32, 32]), "constant");
  assert.equal(nameOf([1025]), "expand");
  assert.equal(nameOf(["B"]), "expand");
});

test("what rounds to 16 bits on the way is left to the engine", () => {
  const { outputs } = folded((graph) => cast(constant(graph, "bfloat16", [1], [1 + 2 ** -9]), "float32"));
  assert.equal(outputs.get("y")!.producer!.op.name, "cast");
});
