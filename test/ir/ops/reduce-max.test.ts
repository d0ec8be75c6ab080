import { reduceMax, reduceMaxOp } from "../../../src/ir/ops/reduce-max.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { apart, integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(reduceMaxOp, [
  { name: "all axes", inputs: [apart([3, 5])], build: ([x]) => reduceMax(x!) },
  { name: "axis 0, removed", inputs: [apart([3, 5, 7])], build: ([x]) => reduceMax(x!, [0], false) },
  { name: "axis 1, kept", inputs: [apart([3, 5, 7])], build: ([x]) => reduceMax(x!, [1], true) },
  { name: "axis -1, removed", inputs: [apart([3, 5, 7])], build: ([x]) => reduceMax(x!, [-1], false) },
  { name: "axis -1, kept", inputs: [apart([3, 5, 7])], build: ([x]) => reduceMax(x!, [-1], true) },
  { name: "two axes", inputs: [apart([3, 5, 7])], build: ([x]) => reduceMax(x!, [0, 2]) },
  { name: "two axes of unknown size", inputs: [apart([3, 5, 3])], build: ([x]) => reduceMax(x!, [0, 2], true) },
  { name: "a rest without elements", inputs: [apart([0, 3])], build: ([x]) => reduceMax(x!, [1]) },
  {
    name: "an axis that does not exist",
    inputs: [random([3, 5])],
    build: ([x]) => reduceMax(x!, [2]),
    throws: "reduceMax: no such axis: got 2, expected -2 to 1",
  },
  {
    name: "over nothing",
    inputs: [random([3, 0])],
    build: ([x]) => reduceMax(x!, [1]),
    throws: "reduceMax: axis 1 has no elements: got [3, 0]",
  },
  { name: "integers", inputs: [integers([3, 5], -9, 9)], build: ([x]) => reduceMax(x!, [1]) },
  {
    name: "ties, as in PyTorch",
    inputs: [tensor("float32", [2, 3], [1, 3, 3, 2, 2, 2])],
    build: ([x]) => reduceMax(x!, [1]),
    smooth: false,
    expected: [3, 2],
    expectedGradients: [[0, 1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3]],
  },
  {
    name: "ties over two axes",
    inputs: [tensor("float32", [2, 3], [1, 3, 3, 2, 2, 2])],
    build: ([x]) => reduceMax(x!),
    smooth: false,
    expected: [3],
    expectedGradients: [[0, 1 / 2, 1 / 2, 0, 0, 0]],
  },
  {
    name: "infinities",
    inputs: [tensor("float32", [2, 2], [-Infinity, -Infinity, Infinity, 1])],
    build: ([x]) => reduceMax(x!, [1]),
    smooth: false,
    expected: [-Infinity, Infinity],
  },
]);
