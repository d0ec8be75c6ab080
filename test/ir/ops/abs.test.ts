import { abs, absOp } from "../../../src/ir/ops/abs.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { apart, integers, tensor } from "../../../src/testing/tensors.ts";

describeOp(absOp, [
  { inputs: [apart([3, 5])], build: ([x]) => abs(x!) },
  { name: "a scalar", inputs: [apart([])], build: ([x]) => abs(x!) },
  {
    name: "special values",
    inputs: [tensor("float32", [6], [0, -0, Infinity, -Infinity, NaN, -2])],
    build: ([x]) => abs(x!),
    smooth: false,
    expected: [0, 0, Infinity, Infinity, NaN, 2],
    expectedGradients: [[0, 0, 1, -1, NaN, -1]],
  },
  { name: "no elements", inputs: [apart([0, 3])], build: ([x]) => abs(x!) },
  {
    name: "integers",
    inputs: [integers([2], 0, 3)],
    build: ([x]) => abs(x!),
    throws: "abs: input 0 has the wrong type: got int32",
  },
]);
