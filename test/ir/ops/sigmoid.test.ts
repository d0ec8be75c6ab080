import { sigmoid, sigmoidOp } from "../../../src/ir/ops/sigmoid.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(sigmoidOp, [
  { inputs: [random([3, 5])], build: ([x]) => sigmoid(x!) },
  { name: "a scalar", inputs: [random([])], build: ([x]) => sigmoid(x!) },
  {
    name: "special values",
    inputs: [tensor("float32", [6], [0, -0, Infinity, -Infinity, NaN, -100])],
    build: ([x]) => sigmoid(x!),
    smooth: false,
    expected: [0.5, 0.5, 1, 0, NaN, 0],
  },
  { name: "no elements", inputs: [random([0, 3])], build: ([x]) => sigmoid(x!) },
  {
    name: "integers",
    inputs: [integers([2], 0, 3)],
    build: ([x]) => sigmoid(x!),
    throws: "sigmoid: input 0 has the wrong type: got int32",
  },
]);
