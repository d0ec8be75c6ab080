import { sign, signOp } from "../../../src/ir/ops/sign.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { apart, integers, tensor } from "../../../src/testing/tensors.ts";

describeOp(signOp, [
  { inputs: [apart([3, 5])], build: ([x]) => sign(x!) },
  { name: "a scalar", inputs: [apart([])], build: ([x]) => sign(x!) },
  {
    name: "special values",
    inputs: [tensor("float32", [6], [0, -0, Infinity, -Infinity, NaN, -2])],
    build: ([x]) => sign(x!),
    smooth: false,
    expected: [0, 0, 1, -1, NaN, -1],
  },
  { name: "no elements", inputs: [apart([0, 3])], build: ([x]) => sign(x!) },
  {
    name: "integers",
    inputs: [integers([2], 0, 3)],
    build: ([x]) => sign(x!),
    throws: "sign: input 0 has the wrong type: got int32",
  },
]);
