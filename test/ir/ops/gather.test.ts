import { gather, gatherOp } from "../../../src/ir/ops/gather.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(gatherOp, [
  {
    name: "rows, some of them twice",
    inputs: [tensor("float32", [3, 2], [1, 2, 3, 4, 5, 6]), tensor("int32", [4], [2, 0, 2, 2])],
    build: ([x, i]) => gather(x!, i!),
    expected: [5, 6, 1, 2, 5, 6, 5, 6],
    expectedGradients: [[1, 1, 0, 0, 3, 3]],
  },
  { name: "embedding", inputs: [random([11, 3]), integers([2, 5], 0, 10)], build: ([x, i]) => gather(x!, i!) },
  {
    name: "embedding, many tokens by name only",
    inputs: [random([11, 3]), integers([7, 5], 0, 10)],
    symbolic: 7,
    build: ([x, i]) => gather(x!, i!),
  },
  {
    name: "embedding with a large vocabulary",
    inputs: [random([1501, 3]), integers([2, 5], 1490, 1500)],
    symbolic: 2,
    build: ([x, i]) => gather(x!, i!),
  },
  { name: "int64", inputs: [random([5, 3]), integers([4], 0, 4, "int64")], build: ([x, i]) => gather(x!, i!) },
  { name: "inner axis", inputs: [random([2, 5, 3]), integers([4], 0, 4)], build: ([x, i]) => gather(x!, i!, 1) },
  { name: "last axis", inputs: [random([2, 5, 3]), integers([2, 2], 0, 2)], build: ([x, i]) => gather(x!, i!, -1) },
  { name: "one index", inputs: [random([5, 3]), tensor("int32", [], [4])], build: ([x, i]) => gather(x!, i!) },
  {
    inputs: [random([5, 3]), random([2])],
    build: ([x, i]) => gather(x!, i!),
    throws: "gather: indices have the wrong type: got float32, expected int32 or int64",
  },
]);
