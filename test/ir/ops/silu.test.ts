import { silu, siluOp } from "../../../src/ir/ops/silu.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(siluOp, [
  { inputs: [random([3, 5])], build: ([x]) => silu(x!) },
  { name: "a scalar", inputs: [random([])], build: ([x]) => silu(x!) },
  {
    name: "special values",
    inputs: [tensor("float32", [6], [0, -0, Infinity, -Infinity, NaN, 2])],
    build: ([x]) => silu(x!),
    smooth: false,
    expected: [0, -0, Infinity, NaN, NaN, 1.7615941559558],
    expectedGradients: [[0.5, 0.5, NaN, NaN, NaN, 1.0907842487849]],
  },
  { name: "no elements", inputs: [random([0, 3])], build: ([x]) => silu(x!) },
  {
    name: "integers",
    inputs: [integers([2], 0, 3)],
    build: ([x]) => silu(x!),
    throws: "silu: input 0 has the wrong type: got int32",
  },
]);
