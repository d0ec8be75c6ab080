import { swiglu, swigluOp } from "../../../src/ir/ops/swiglu.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(swigluOp, [
  { inputs: [random([3, 5]), random([3, 5])], build: ([gate, up]) => swiglu(gate!, up!) },
  { name: "one row of gates", inputs: [random([5]), random([3, 5])], build: ([gate, up]) => swiglu(gate!, up!) },
  {
    name: "by hand",
    inputs: [tensor("float32", [2], [0, 2]), tensor("float32", [2], [3, -1])],
    build: ([gate, up]) => swiglu(gate!, up!),
    expected: [0, -1.7615941559558],
    expectedGradients: [
      [1.5, -1.0907842487849],
      [0, 1.7615941559558],
    ],
  },
  {
    name: "integers",
    inputs: [integers([2], 0, 3), integers([2], 0, 3)],
    build: ([gate, up]) => swiglu(gate!, up!),
    throws: "swiglu: input 0 has the wrong type: got int32",
  },
]);
