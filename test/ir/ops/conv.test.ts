import { conv, convOp } from "../../../src/ir/ops/conv.ts";
import { shapeOf } from "../../../src/ir/shape.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { random, tensor } from "../../../src/testing/tensors.ts";

// conv-golden.test.ts has PyTorch's numbers.
describeOp(convOp, [
  {
    name: "differences of neighbours",
    inputs: [tensor("float32", [1, 1, 2, 3], [1, 2, 4, 8, 16, 32]), tensor("float32", [1, 1, 1, 2], [-1, 1])],
    build: ([x, w]) => conv(x!, w!),
    symbolic: false,
    expected: [1, 2, 8, 16],
    expectedGradients: [
      [-1, 0, 1, -1, 0, 1],
      [27, 54],
    ],
  },
  {
    name: "plain",
    inputs: [random([2, 3, 5, 7]), random([4, 3, 3, 5])],
    build: ([x, w]) => conv(x!, w!),
  },
  {
    name: "strides that leave a rest",
    inputs: [random([2, 3, 8, 7]), random([4, 3, 3, 5])],
    build: ([x, w]) => conv(x!, w!, { strides: [3, 2], pads: [1, 0] }),
  },
  {
    name: "depthwise",
    inputs: [random([2, 3, 6, 7]), random([3, 1, 3, 3])],
    build: ([x, w]) => conv(x!, w!, { groups: 3, strides: 2, pads: 1 }),
  },
  {
    name: "everything at once",
    inputs: [random([2, 4, 11, 10]), random([6, 2, 3, 3])],
    symbolic: false,
    build: ([x, w]) => conv(x!, w!, { groups: 2, strides: [2, 3], dilations: [3, 2], pads: [2, 0, 1, 3] }),
  },
  {
    name: "other channels",
    inputs: [random([2, 3, 5, 7]), random([4, 2, 3, 2])],
    build: ([x, w]) => conv(x!, w!),
    throws: "conv: filters [4, 2, 3, 2] with 1 groups do not fit the channels of [2, 3, 5, 7]: got 3, expected 2",
  },
  {
    name: "filters that do not divide",
    inputs: [random([2, 4, 5, 7]), random([3, 2, 3, 2])],
    build: ([x, w]) => conv(x!, w!, { groups: 2 }),
    throws: /do not divide into groups: got 3, expected a multiple of 2/,
  },
  {
    name: "a kernel that does not fit",
    inputs: [random([2, 3, 5, 7]), random([4, 3, 3, 2])],
    build: ([x, w]) => conv(x!, w!, { dilations: [3, 1], pads: [0, 0, 1, 0] }),
    throws: /window is higher than its padded input: got kernel 3 with dilation 3 reaches over 7, expected at most 6/,
  },
  {
    name: "three axes",
    inputs: [random([3, 5, 7]), random([4, 3, 3, 2])],
    build: ([x, w]) => conv(x!, w!),
    throws: /needs 4 axes: got 3, expected \[N, C, H, W\]/,
  },
  {
    name: "stride 0",
    inputs: [random([2, 3, 5, 7]), random([4, 3, 3, 2])],
    build: ([x, w]) => conv(x!, w!, { strides: [0, 1] }),
    throws: /wrong strides: got \[0,1\], expected integers >= 1/,
  },
  {
    name: "sizes known by name only",
    inputs: [random([4, 3, 3, 2])],
    build: ([w], graph) => conv(graph.feed("images", { dtype: "float32", shape: shapeOf([2, 3, "H", 7]) }), w!),
    throws: /needs sizes that are known when the graph is traced/,
  },
]);
