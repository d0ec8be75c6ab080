import { neg, negOp } from "../../../src/ir/ops/neg.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { random, tensor } from "../../../src/testing/tensors.ts";

describeOp(negOp, [
  { inputs: [random([3, 5])], build: ([x]) => neg(x!) },
  { name: "a scalar", inputs: [random([])], build: ([x]) => neg(x!) },
  {
    name: "special values",
    inputs: [tensor("float32", [6], [0, -0, Infinity, -Infinity, NaN, 2])],
    build: ([x]) => neg(x!),
    smooth: false,
    expected: [-0, 0, -Infinity, Infinity, NaN, -2],
  },
  { name: "no elements", inputs: [random([0, 3])], build: ([x]) => neg(x!) },
]);
