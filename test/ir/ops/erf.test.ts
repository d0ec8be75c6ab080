import { erf, erfOp } from "../../../src/ir/ops/erf.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(erfOp, [
  { inputs: [random([3, 5])], build: ([x]) => erf(x!) },
  { name: "a scalar", inputs: [random([])], build: ([x]) => erf(x!) },
  {
    name: "special values",
    inputs: [tensor("float32", [6], [0, -0, Infinity, -Infinity, NaN, 7])],
    build: ([x]) => erf(x!),
    smooth: false,
    expected: [0, -0, 1, -1, NaN, 1],
  },
  { name: "no elements", inputs: [random([0, 3])], build: ([x]) => erf(x!) },
  {
    name: "integers",
    inputs: [integers([2], 0, 3)],
    build: ([x]) => erf(x!),
    throws: "erf: input 0 has the wrong type: got int32",
  },
]);
