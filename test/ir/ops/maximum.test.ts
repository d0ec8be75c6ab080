import { maximum, maximumOp } from "../../../src/ir/ops/maximum.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { apart, integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(maximumOp, [
  { inputs: [apart([3, 5]), random([3, 5])], build: ([x, y]) => maximum(x!, y!) },
  { name: "broadcasting both ways", inputs: [apart([3, 1, 5]), random([7, 1])], build: ([x, y]) => maximum(x!, y!) },
  { name: "a scalar", inputs: [apart([3, 5]), random([])], build: ([x, y]) => maximum(x!, y!) },
  { name: "one value twice", inputs: [apart([3, 5])], build: ([x]) => maximum(x!, x!), smooth: false },
  { name: "no elements", inputs: [apart([0, 3]), random([3])], build: ([x, y]) => maximum(x!, y!) },
  {
    name: "shapes that do not broadcast",
    inputs: [random([3, 5]), random([3])],
    build: ([x, y]) => maximum(x!, y!),
    throws: "maximum: shapes do not broadcast: got [3, 5] and [3]",
  },
  {
    name: "different types",
    inputs: [random([3]), integers([3], 0, 5)],
    build: ([x, y]) => maximum(x!, y!),
    throws: "maximum: inputs have different data types: got float32 and int32",
  },
  {
    name: "ties, as in PyTorch",
    inputs: [tensor("float32", [3], [1, 2, 3]), tensor("float32", [3], [1, 3, 2])],
    build: ([x, y]) => maximum(x!, y!),
    smooth: false,
    expected: [1, 3, 3],
    expectedGradients: [
      [0.5, 0, 1],
      [0.5, 1, 0],
    ],
  },
  {
    name: "special values",
    inputs: [tensor("float32", [3], [0, NaN, Infinity]), tensor("float32", [3], [-0, 1, 2])],
    build: ([x, y]) => maximum(x!, y!),
    smooth: false,
    expected: [0, NaN, Infinity],
  },
  {
    name: "whole numbers",
    inputs: [integers([3, 5], -9, 9), integers([5], -9, 9)],
    build: ([x, y]) => maximum(x!, y!),
  },
]);
