import { constant, constantOp, scalar } from "../../../src/ir/ops/constant.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";

describeOp(constantOp, [
  {
    name: "a matrix",
    inputs: [],
    build: (_, graph) => constant(graph, "float32", [3, 2], [1, -2, 0.5, Infinity, NaN, 0]),
    expected: [1, -2, 0.5, Infinity, NaN, 0],
  },
  { name: "a scalar", inputs: [], build: (_, graph) => scalar(graph, -3, "int64"), expected: [-3] },
  { name: "no elements", inputs: [], build: (_, graph) => constant(graph, "int32", [0, 3], []), expected: [] },
  {
    name: "too few values",
    inputs: [],
    build: (_, graph) => constant(graph, "float32", [3, 2], [1]),
    throws: "constant: values do not fill the shape: got 1, expected 6",
  },
]);
