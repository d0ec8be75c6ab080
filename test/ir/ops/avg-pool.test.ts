import { avgPool, avgPoolOp } from "../../../src/ir/ops/avg-pool.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { random, tensor } from "../../../src/testing/tensors.ts";

describeOp(avgPoolOp, [
  {
    name: "a row and a column are left over",
    inputs: [tensor("float32", [1, 1, 3, 3], [1, 2, 9, 3, 6, 9, 9, 9, 9])],
    build: ([x]) => avgPool(x!, 2),
    symbolic: false,
    expected: [3],
    expectedGradients: [[0.25, 0.25, 0, 0.25, 0.25, 0, 0, 0, 0]],
  },
  { inputs: [random([2, 3, 5, 7])], build: ([x]) => avgPool(x!, [2, 3]) },
  {
    name: "overlapping, zeros at the sides",
    inputs: [random([2, 3, 5, 7])],
    build: ([x]) => avgPool(x!, [3, 2], { strides: [2, 1], pads: [1, 0, 2, 1] }),
  },
  {
    name: "pads of a whole kernel",
    inputs: [random([2, 3, 5, 7])],
    build: ([x]) => avgPool(x!, 2, { pads: [0, 2] }),
    throws: "avgPool: pads must be smaller than the kernel: got [0,2,0,2], expected [2,2]",
  },
]);
