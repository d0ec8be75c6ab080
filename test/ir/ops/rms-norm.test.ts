import { rmsNorm, rmsNormOp } from "../../../src/ir/ops/rms-norm.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { random, tensor } from "../../../src/testing/tensors.ts";

describeOp(rmsNormOp, [
  { inputs: [random([3, 5]), random([5])], build: ([x, scale]) => rmsNorm(x!, scale!) },
  { name: "three axes", inputs: [random([3, 2, 7]), random([7])], build: ([x, scale]) => rmsNorm(x!, scale!, 0.1) },
  {
    name: "PyTorch's numbers",
    inputs: [tensor("float32", [2, 3], [1, 2, 4, -1, 0.5, 0]), tensor("float32", [3], [0.5, -1, 2])],
    build: ([x, scale]) => rmsNorm(x!, scale!),
    expected: [
      0.18898222300588385, -0.7559288920235354, 3.0237155680941417, -0.7745957397271533, -0.7745957397271533, 0,
    ],
    expectedGradients: [
      [
        0.07199324452447652, -0.6119424029745824, 0.28797297809790606, -0.4647544693957898, -0.9295163748928351,
        3.0983829589086134,
      ],
      [-1.171227033442539, 1.5305246317506889, 1.5118577840470708],
    ],
  },
  {
    name: "a row of zeros",
    inputs: [tensor("float32", [1, 3], [0, 0, 0]), random([3])],
    build: ([x, scale]) => rmsNorm(x!, scale!),
    smooth: false,
    expected: [0, 0, 0],
  },
  { name: "no rows", inputs: [random([0, 3]), random([3])], build: ([x, scale]) => rmsNorm(x!, scale!) },
  {
    name: "a scale that does not fit",
    inputs: [random([3, 5]), random([3])],
    build: ([x, scale]) => rmsNorm(x!, scale!),
    throws: "rmsNorm: scale does not fit the last axis: got [3], expected [5]",
  },
]);
