import { sqrt, sqrtOp } from "../../../src/ir/ops/sqrt.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

/** The function has a pole at 0. */
const positive = (shape: readonly number[]) => random(shape, 0.5, 3);

describeOp(sqrtOp, [
  { inputs: [positive([3, 5])], build: ([x]) => sqrt(x!) },
  { name: "a scalar", inputs: [positive([])], build: ([x]) => sqrt(x!) },
  {
    name: "special values",
    inputs: [tensor("float32", [6], [0, -0, Infinity, -Infinity, NaN, 4])],
    build: ([x]) => sqrt(x!),
    smooth: false,
    expected: [0, 0, Infinity, NaN, NaN, 2],
    expectedGradients: [[Infinity, -Infinity, 0, NaN, NaN, 0.25]],
  },
  { name: "no elements", inputs: [positive([0, 3])], build: ([x]) => sqrt(x!) },
  {
    name: "integers",
    inputs: [integers([2], 0, 3)],
    build: ([x]) => sqrt(x!),
    throws: "sqrt: input 0 has the wrong type: got int32",
  },
]);
