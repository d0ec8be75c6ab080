import { reduceMean, reduceMeanOp } from "../../../src/ir/ops/reduce-mean.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { random } from "../../../src/testing/tensors.ts";

describeOp(reduceMeanOp, [
  { name: "all axes", inputs: [random([3, 5])], build: ([x]) => reduceMean(x!) },
  { name: "axis 0, removed", inputs: [random([3, 5, 7])], build: ([x]) => reduceMean(x!, [0], false) },
  { name: "axis 1, kept", inputs: [random([3, 5, 7])], build: ([x]) => reduceMean(x!, [1], true) },
  { name: "axis -1, removed", inputs: [random([3, 5, 7])], build: ([x]) => reduceMean(x!, [-1], false) },
  { name: "axis -1, kept", inputs: [random([3, 5, 7])], build: ([x]) => reduceMean(x!, [-1], true) },
  { name: "two axes", inputs: [random([3, 5, 7])], build: ([x]) => reduceMean(x!, [0, 2]) },
  { name: "two axes of unknown size", inputs: [random([3, 5, 3])], build: ([x]) => reduceMean(x!, [0, 2], true) },
  { name: "a rest without elements", inputs: [random([0, 3])], build: ([x]) => reduceMean(x!, [1]) },
  {
    name: "an axis that does not exist",
    inputs: [random([3, 5])],
    build: ([x]) => reduceMean(x!, [2]),
    throws: "reduceMean: no such axis: got 2, expected -2 to 1",
  },
  {
    name: "over nothing",
    inputs: [random([3, 0])],
    build: ([x]) => reduceMean(x!, [1]),
    throws: "reduceMean: axis 1 has no elements: got [3, 0]",
  },
]);
