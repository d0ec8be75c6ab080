import { softmax, softmaxOp } from "../../../src/ir/ops/softmax.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(softmaxOp, [
  { name: "last axis", inputs: [random([3, 5], -4, 4)], build: ([x]) => softmax(x!) },
  { name: "middle axis", inputs: [random([3, 5, 7], -4, 4)], build: ([x]) => softmax(x!, 1) },
  { name: "an axis of unknown size", inputs: [random([3, 5], -4, 4)], build: ([x]) => softmax(x!, 0) },
  {
    name: "large and -∞",
    inputs: [tensor("float32", [2, 3], [1000, 1000, -1000, -Infinity, 0, 0])],
    build: ([x]) => softmax(x!),
    smooth: false,
    expected: [0.5, 0.5, 0, 0, 0.5, 0.5],
  },
  {
    name: "nothing but -∞",
    inputs: [tensor("float32", [1, 2], [-Infinity, -Infinity])],
    build: ([x]) => softmax(x!),
    smooth: false,
    expected: [NaN, NaN],
  },
  { name: "no elements", inputs: [random([0, 3])], build: ([x]) => softmax(x!) },
  {
    name: "integers",
    inputs: [integers([2, 3], 0, 3)],
    build: ([x]) => softmax(x!),
    throws: "softmax: input has the wrong type: got int32, expected a float type",
  },
  {
    name: "an axis that does not exist",
    inputs: [random([3, 5])],
    build: ([x]) => softmax(x!, 2),
    throws: "softmax: no such axis: got 2, expected -2 to 1",
  },
]);
