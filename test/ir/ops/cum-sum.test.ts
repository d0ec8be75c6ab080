import { cumSum, cumSumOp } from "../../../src/ir/ops/cum-sum.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { random, tensor } from "../../../src/testing/tensors.ts";

const line = tensor("float32", [4], [1, 2, 4, 8]);

describeOp(cumSumOp, [
  { name: "plain", inputs: [line], build: ([x]) => cumSum(x!, 0), expected: [1, 3, 7, 15] },
  {
    name: "exclusive",
    inputs: [line],
    build: ([x]) => cumSum(x!, 0, { exclusive: true }),
    expected: [0, 1, 3, 7],
    expectedGradients: [[3, 2, 1, 0]],
  },
  { name: "reverse", inputs: [line], build: ([x]) => cumSum(x!, 0, { reverse: true }), expected: [15, 14, 12, 8] },
  {
    name: "exclusive and reverse",
    inputs: [line],
    build: ([x]) => cumSum(x!, 0, { exclusive: true, reverse: true }),
    expected: [14, 12, 8, 0],
  },
  { name: "inner axis", inputs: [random([2, 5, 3])], build: ([x]) => cumSum(x!, -2) },
  {
    name: "int32",
    inputs: [tensor("int32", [3], [5, -1, 2])],
    build: ([x]) => cumSum(x!, 0),
    expected: [5, 4, 6],
  },
  { inputs: [random([2, 5])], build: ([x]) => cumSum(x!, 2), throws: /cumSum: no such axis: got 2, expected -2 to 1/ },
]);
