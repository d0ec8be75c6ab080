import { gatherElements, gatherElementsOp } from "../../../src/ir/ops/gather-elements.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(gatherElementsOp, [
  {
    name: "one per row",
    inputs: [tensor("float32", [2, 3], [1, 2, 3, 4, 5, 6]), tensor("int32", [2, 1], [2, 0])],
    build: ([x, i]) => gatherElements(x!, i!, 1),
    expected: [3, 4],
    expectedGradients: [[0, 0, 1, 1, 0, 0]],
  },
  {
    name: "several, some of them twice",
    inputs: [random([2, 5, 3]), integers([2, 7, 3], 0, 4)],
    build: ([x, i]) => gatherElements(x!, i!, 1),
  },
  {
    name: "first axis, int64",
    inputs: [random([5, 3]), integers([2, 3], 0, 4, "int64")],
    build: ([x, i]) => gatherElements(x!, i!, -2),
  },
  {
    inputs: [random([5, 3]), integers([2, 4], 0, 4)],
    build: ([x, i]) => gatherElements(x!, i!, 0),
    throws: "gatherElements: indices differ from x in more than axis 0: got [2, 4], expected like [5, 3]",
  },
  { inputs: [random([5, 3]), integers([5], 0, 2)], build: ([x, i]) => gatherElements(x!, i!, 1), throws: /got \[5\]/ },
]);
