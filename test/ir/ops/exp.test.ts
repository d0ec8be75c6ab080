import { exp, expOp } from "../../../src/ir/ops/exp.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(expOp, [
  { inputs: [random([3, 5])], build: ([x]) => exp(x!) },
  { name: "a scalar", inputs: [random([])], build: ([x]) => exp(x!) },
  {
    name: "special values",
    inputs: [tensor("float32", [6], [0, -0, Infinity, -Infinity, NaN, -200])],
    build: ([x]) => exp(x!),
    smooth: false,
    expected: [1, 1, Infinity, 0, NaN, 0],
  },
  { name: "no elements", inputs: [random([0, 3])], build: ([x]) => exp(x!) },
  {
    name: "integers",
    inputs: [integers([2], 0, 3)],
    build: ([x]) => exp(x!),
    throws: "exp: input 0 has the wrong type: got int32",
  },
]);
