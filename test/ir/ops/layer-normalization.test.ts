import { layerNormalization, layerNormalizationOp } from "../../../src/ir/ops/layer-normalization.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { random, tensor } from "../../../src/testing/tensors.ts";

/** x - mean has the rounding errors of x, which is a hundred times larger. */
const FAR = { relative: 1e-4, ofLargest: 2e-5 };

describeOp(layerNormalizationOp, [
  {
    inputs: [random([3, 5]), random([5]), random([5])],
    build: ([x, scale, bias]) => layerNormalization(x!, scale!, bias),
  },
  {
    name: "without bias",
    inputs: [random([3, 5]), random([5])],
    build: ([x, scale, bias]) => layerNormalization(x!, scale!, bias),
  },
  {
    name: "three axes",
    inputs: [random([3, 2, 7]), random([7]), random([7])],
    build: ([x, scale, bias]) => layerNormalization(x!, scale!, bias, 0.1),
  },
  {
    name: "a mean far from 0",
    inputs: [random([3, 64], 99, 101), random([64]), random([64])],
    build: ([x, scale, bias]) => layerNormalization(x!, scale!, bias),
    tolerance: FAR,
  },
  {
    name: "PyTorch's numbers",
    inputs: [
      tensor("float32", [2, 3], [1, 2, 4, -1, 0.5, 0]),
      tensor("float32", [3], [0.5, -1, 2]),
      tensor("float32", [3], [1, 0, -1]),
    ],
    build: ([x, scale, bias]) => layerNormalization(x!, scale!, bias),
    expected: [
      0.46547923427485116, 0.26726038286257453, 1.6726038286257436, 0.33185548559318667, -1.0690312230509016,
      -0.4654843884745492,
    ],
    expectedGradients: [
      [
        0.6872365665544065, -1.030862581242983, 0.3436260146885768, -0.859020857986697, -1.7181035654751704,
        2.5771244234618678,
      ],
      [-2.4053305602639248, 0.801770840188327, 1.603559720075597],
      [2, 2, 2],
    ],
  },
  {
    name: "a constant row",
    inputs: [tensor("float32", [1, 3], [2, 2, 2]), random([3]), tensor("float32", [3], [1, 2, 3])],
    build: ([x, scale, bias]) => layerNormalization(x!, scale!, bias),
    smooth: false,
    expected: [1, 2, 3],
  },
  {
    name: "no rows",
    inputs: [random([0, 3]), random([3]), random([3])],
    build: ([x, scale, bias]) => layerNormalization(x!, scale!, bias),
  },
  {
    name: "a scale that does not fit",
    inputs: [random([3, 5]), random([3]), random([5])],
    build: ([x, scale, bias]) => layerNormalization(x!, scale!, bias),
    throws: "layerNormalization: scale does not fit the last axis: got [3], expected [5]",
  },
  {
    name: "a bias that does not fit",
    inputs: [random([3, 5]), random([5]), random([1])],
    build: ([x, scale, bias]) => layerNormalization(x!, scale!, bias),
    throws: "layerNormalization: bias does not fit the last axis: got [1], expected [5]",
  },
  {
    name: "a scalar",
    inputs: [random([]), random([1])],
    build: ([x, scale, bias]) => layerNormalization(x!, scale!, bias),
    throws: "layerNormalization: needs an axis to normalise over: got []",
  },
  {
    name: "an empty axis",
    inputs: [random([3, 0]), random([0])],
    build: ([x, scale, bias]) => layerNormalization(x!, scale!, bias),
    throws: "layerNormalization: axis 1 has no elements: got [3, 0]",
  },
]);
