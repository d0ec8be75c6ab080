import { convTranspose, convTransposeOp } from "../../../src/ir/ops/conv-transpose.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { random, tensor } from "../../../src/testing/tensors.ts";

describeOp(convTransposeOp, [
  {
    name: "spreads a kernel",
    inputs: [tensor("float32", [1, 1, 1, 2], [1, 10]), tensor("float32", [1, 1, 1, 2], [2, 3])],
    build: ([y, w]) => convTranspose(y!, w!, [1, 5], { strides: [1, 2] }),
    symbolic: false,
    expected: [2, 3, 20, 30, 0],
    expectedGradients: [
      [5, 5],
      [11, 11],
    ],
  },
  {
    name: "a size that strides do not reach",
    inputs: [random([2, 4, 3, 5]), random([4, 3, 4, 3])],
    build: ([y, w]) => convTranspose(y!, w!, [8, 15], { strides: [2, 3], pads: [0, 0, 1, 1] }),
  },
  {
    name: "everything at once",
    inputs: [random([2, 6, 6, 3]), random([6, 2, 3, 3])],
    symbolic: false,
    build: ([y, w]) =>
      convTranspose(y!, w!, [14, 10], { groups: 2, strides: [2, 3], dilations: [3, 2], pads: [2, 0, 1, 3] }),
  },
  {
    name: "a size that the convolution would not give",
    inputs: [random([2, 4, 3, 2]), random([4, 3, 2, 3])],
    build: ([y, w]) => convTranspose(y!, w!, [9, 7], { strides: [2, 3] }),
    throws: "convTranspose: a convolution of [9, 7] does not give these sizes: got [3,2], expected [4,2]",
  },
  {
    name: "other channels",
    inputs: [random([2, 5, 3, 2]), random([4, 3, 2, 3])],
    build: ([y, w]) => convTranspose(y!, w!, [4, 4]),
    throws: /channels of \[2, 5, 3, 2\] are not the filters of \[4, 3, 2, 3\]: got 5, expected 4/,
  },
]);
