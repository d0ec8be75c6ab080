import { reduceSum, reduceSumOp } from "../../../src/ir/ops/reduce-sum.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random } from "../../../src/testing/tensors.ts";

describeOp(reduceSumOp, [
  { name: "all axes", inputs: [random([3, 5])], build: ([x]) => reduceSum(x!) },
  { name: "axis 0, removed", inputs: [random([3, 5, 7])], build: ([x]) => reduceSum(x!, [0], false) },
  { name: "axis 1, kept", inputs: [random([3, 5, 7])], build: ([x]) => reduceSum(x!, [1], true) },
  { name: "axis -1, removed", inputs: [random([3, 5, 7])], build: ([x]) => reduceSum(x!, [-1], false) },
  { name: "axis -1, kept", inputs: [random([3, 5, 7])], build: ([x]) => reduceSum(x!, [-1], true) },
  { name: "two axes", inputs: [random([3, 5, 7])], build: ([x]) => reduceSum(x!, [0, 2]) },
  { name: "two axes of unknown size", inputs: [random([3, 5, 3])], build: ([x]) => reduceSum(x!, [0, 2], true) },
  { name: "a rest without elements", inputs: [random([0, 3])], build: ([x]) => reduceSum(x!, [1]) },
  {
    name: "an axis that does not exist",
    inputs: [random([3, 5])],
    build: ([x]) => reduceSum(x!, [2]),
    throws: "reduceSum: no such axis: got 2, expected -2 to 1",
  },
  {
    name: "over nothing",
    // The engine takes the Expand to no elements, in the gradient, for one that changes nothing.
    smooth: false,
    inputs: [random([3, 0])],
    build: ([x]) => reduceSum(x!, [1]),
    expected: [0, 0, 0],
  },
  { name: "integers", inputs: [integers([3, 5], -9, 9)], build: ([x]) => reduceSum(x!, [1]) },
]);
