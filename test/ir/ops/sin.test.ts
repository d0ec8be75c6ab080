import { sin, sinOp } from "../../../src/ir/ops/sin.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(sinOp, [
  { inputs: [random([3, 5])], build: ([x]) => sin(x!) },
  { name: "a scalar", inputs: [random([])], build: ([x]) => sin(x!) },
  {
    name: "special values",
    inputs: [tensor("float32", [6], [0, -0, Infinity, -Infinity, NaN, 1])],
    build: ([x]) => sin(x!),
    smooth: false,
    expected: [0, -0, NaN, NaN, NaN, 0.8414709848078965],
  },
  { name: "no elements", inputs: [random([0, 3])], build: ([x]) => sin(x!) },
  {
    name: "integers",
    inputs: [integers([2], 0, 3)],
    build: ([x]) => sin(x!),
    throws: "sin: input 0 has the wrong type: got int32",
  },
]);
