import { tanh, tanhOp } from "../../../src/ir/ops/tanh.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(tanhOp, [
  { inputs: [random([3, 5])], build: ([x]) => tanh(x!) },
  { name: "a scalar", inputs: [random([])], build: ([x]) => tanh(x!) },
  {
    name: "special values",
    inputs: [tensor("float32", [6], [0, -0, Infinity, -Infinity, NaN, 30])],
    build: ([x]) => tanh(x!),
    smooth: false,
    expected: [0, -0, 1, -1, NaN, 1],
    expectedGradients: [[1, 1, 0, 0, NaN, 0]],
  },
  { name: "no elements", inputs: [random([0, 3])], build: ([x]) => tanh(x!) },
  {
    name: "integers",
    inputs: [integers([2], 0, 3)],
    build: ([x]) => tanh(x!),
    throws: "tanh: input 0 has the wrong type: got int32",
  },
]);
