import { transpose, transposeOp } from "../../../src/ir/ops/transpose.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random } from "../../../src/testing/tensors.ts";

describeOp(transposeOp, [
  { name: "a matrix", inputs: [random([3, 5])], build: ([x]) => transpose(x!, [1, 0]) },
  { name: "a cycle of axes", inputs: [random([3, 5, 7])], build: ([x]) => transpose(x!, [2, 0, 1]) },
  { name: "four axes", inputs: [random([3, 5, 2, 7])], build: ([x]) => transpose(x!, [0, 2, 1, 3]) },
  { name: "integers", inputs: [integers([3, 5], 0, 9, "int64")], build: ([x]) => transpose(x!, [1, 0]) },
  { name: "no elements", inputs: [random([0, 3])], build: ([x]) => transpose(x!, [1, 0]) },
  {
    name: "an axis twice",
    inputs: [random([3, 5])],
    build: ([x]) => transpose(x!, [1, 1]),
    throws: "transpose: not a permutation of the axes: got [1,1], expected 0 to 1",
  },
]);
