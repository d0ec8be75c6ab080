import { cos, cosOp } from "../../../src/ir/ops/cos.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(cosOp, [
  { inputs: [random([3, 5])], build: ([x]) => cos(x!) },
  { name: "a scalar", inputs: [random([])], build: ([x]) => cos(x!) },
  {
    name: "special values",
    inputs: [tensor("float32", [6], [0, -0, Infinity, -Infinity, NaN, 1])],
    build: ([x]) => cos(x!),
    smooth: false,
    expected: [1, 1, NaN, NaN, NaN, 0.5403023058681398],
  },
  { name: "no elements", inputs: [random([0, 3])], build: ([x]) => cos(x!) },
  {
    name: "integers",
    inputs: [integers([2], 0, 3)],
    build: ([x]) => cos(x!),
    throws: "cos: input 0 has the wrong type: got int32",
  },
]);
