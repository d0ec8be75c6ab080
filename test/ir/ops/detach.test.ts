import { detach, detachOp } from "../../../src/ir/ops/detach.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { random, tensor } from "../../../src/testing/tensors.ts";

describeOp(detachOp, [
  { inputs: [random([3, 5])], build: ([x]) => detach(x!), smooth: false },
  { name: "a scalar", inputs: [random([])], build: ([x]) => detach(x!), smooth: false },
  {
    name: "special values",
    inputs: [tensor("float32", [6], [0, -0, Infinity, -Infinity, NaN, 1])],
    build: ([x]) => detach(x!),
    smooth: false,
    expected: [0, -0, Infinity, -Infinity, NaN, 1],
  },
  { name: "no elements", inputs: [random([0, 3])], build: ([x]) => detach(x!) },
]);
