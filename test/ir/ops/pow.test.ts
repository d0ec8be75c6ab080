import { pow, powOp } from "../../../src/ir/ops/pow.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { apart, integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(powOp, [
  { name: "exponent 2", inputs: [random([3, 5], 0.5, 2)], build: ([x]) => pow(x!, 2) },
  { name: "exponent 3", inputs: [random([3, 5], 0.5, 2)], build: ([x]) => pow(x!, 3) },
  { name: "exponent 0.5", inputs: [random([3, 5], 0.5, 2)], build: ([x]) => pow(x!, 0.5) },
  { name: "exponent -1", inputs: [random([3, 5], 0.5, 2)], build: ([x]) => pow(x!, -1) },
  { name: "exponent -0.5", inputs: [random([3, 5], 0.5, 2)], build: ([x]) => pow(x!, -0.5) },
  { name: "exponent 1.7", inputs: [random([3, 5], 0.5, 2)], build: ([x]) => pow(x!, 1.7) },
  { name: "exponent 0", inputs: [random([3, 5])], build: ([x]) => pow(x!, 0) },
  { name: "numbers below 0 to a whole power", inputs: [apart([3, 5])], build: ([x]) => pow(x!, 3) },
  {
    name: "numbers below 0 to a broken power",
    inputs: [tensor("float32", [6], [0, -0, Infinity, -Infinity, NaN, -2])],
    build: ([x]) => pow(x!, 1.5),
    smooth: false,
    expected: [0, 0, Infinity, Infinity, NaN, NaN],
  },
  {
    name: "derivative at 0 of exponent 0, as in PyTorch",
    inputs: [tensor("float32", [2], [0, 2])],
    build: ([x]) => pow(x!, 0),
    expected: [1, 1],
    expectedGradients: [[0, 0]],
  },
  {
    name: "derivative at 0 of exponent 2",
    inputs: [tensor("float32", [2], [0, -3])],
    build: ([x]) => pow(x!, 2),
    expected: [0, 9],
    expectedGradients: [[0, -6]],
  },
  {
    name: "derivative at 0 of exponent 0.5",
    inputs: [tensor("float32", [2], [0, 4])],
    build: ([x]) => pow(x!, 0.5),
    smooth: false,
    expected: [0, 2],
    expectedGradients: [[Infinity, 0.25]],
  },
  { name: "no elements", inputs: [random([0, 3])], build: ([x]) => pow(x!, 3) },
  {
    name: "integers",
    inputs: [integers([2], 0, 3)],
    build: ([x]) => pow(x!, 3),
    throws: "pow: input 0 has the wrong type: got int32",
  },
]);
