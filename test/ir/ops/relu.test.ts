import { relu, reluOp } from "../../../src/ir/ops/relu.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { apart, tensor } from "../../../src/testing/tensors.ts";

describeOp(reluOp, [
  { inputs: [apart([3, 5])], build: ([x]) => relu(x!) },
  { name: "a scalar", inputs: [apart([])], build: ([x]) => relu(x!) },
  {
    name: "special values",
    inputs: [tensor("float32", [6], [0, -0, Infinity, -Infinity, NaN, -2])],
    build: ([x]) => relu(x!),
    smooth: false,
    expected: [0, 0, Infinity, 0, NaN, 0],
    expectedGradients: [[0, 0, 1, 0, 0, 0]],
  },
  { name: "no elements", inputs: [apart([0, 3])], build: ([x]) => relu(x!) },
]);
