import assert from "node:assert/strict";
import test from "node:test";
import { DataError } from "../../../src/errors.ts";
import { Graph } from "../../../src/ir/graph.ts";
import { ndarray } from "../../../src/ir/ndarray.ts";
import { scatterAdd, scatterAddOp } from "../../../src/ir/ops/scatter-add.ts";
import { shapeOf } from "../../../src/ir/shape.ts";
import { interpret } from "../../../src/runtime/interp.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(scatterAddOp, [
  {
    name: "rows that meet add up",
    inputs: [tensor("float32", [3, 2], [1, 2, 3, 4, 5, 6]), tensor("int32", [3], [1, 3, 1])],
    build: ([x, i]) => scatterAdd(x!, i!, shapeOf([4, 2])),
    expected: [0, 0, 6, 8, 0, 0, 3, 4],
    expectedGradients: [[1, 1, 1, 1, 1, 1]],
  },
  {
    name: "indices of two axes",
    inputs: [random([2, 5, 3]), integers([2, 5], 0, 6)],
    build: ([x, i]) => scatterAdd(x!, i!, shapeOf([7, 3])),
  },
  {
    name: "inner axis",
    inputs: [random([2, 4, 3]), integers([4], 0, 4)],
    build: ([x, i]) => scatterAdd(x!, i!, [x!.type.shape[0]!, ...shapeOf([5, 3])], 1),
  },
  {
    // More rows than the engine's threads take one by one, nearly all at one place.
    name: "a large axis, where very many rows meet",
    inputs: [random([4000, 3], 0.5, 1.5), integers([4000], 1998, 2000)],
    build: ([x, i]) => scatterAdd(x!, i!, shapeOf([2001, 3])),
    // Sums of 1,300 positive numbers in float32.
    tolerance: { relative: 1e-4 },
    smooth: false,
  },
  {
    inputs: [random([3, 2]), integers([4], 0, 1)],
    build: ([x, i]) => scatterAdd(x!, i!, shapeOf([5, 2])),
    throws: "scatterAdd: updates do not fit axis 0 of [5, 2] at indices [4]: got [3, 2], expected [4, 2]",
  },
]);

test("an index outside the axis is refused, not wrapped", () => {
  const graph = new Graph();
  const x = graph.feed("x", { dtype: "float32", shape: shapeOf([1]) });
  const i = graph.feed("i", { dtype: "int32", shape: shapeOf([1]) });
  graph.output("y", scatterAdd(x, i, shapeOf([3])));
  assert.throws(() => interpret(graph, { x: ndarray([1], [1]), i: ndarray([1], [-1]) }), DataError);
  assert.throws(() => interpret(graph, { x: ndarray([1], [1]), i: ndarray([1], [3]) }), /got 3, expected 0 to 2/);
});
