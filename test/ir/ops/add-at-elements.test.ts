import { addAtElements, addAtElementsOp } from "../../../src/ir/ops/add-at-elements.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(addAtElementsOp, [
  {
    name: "elements that meet add up",
    inputs: [
      tensor("float32", [2, 4], [10, 20, 30, 40, 50, 60, 70, 80]),
      tensor("float32", [2, 3], [1, 2, 3, 4, 5, 6]),
      tensor("int32", [2, 3], [3, 0, 3, 1, 2, 0]),
    ],
    build: ([x, u, i]) => addAtElements(x!, u!, i!, 1),
    expected: [12, 20, 30, 44, 56, 64, 75, 80],
    expectedGradients: [
      [1, 1, 1, 1, 1, 1, 1, 1],
      [1, 1, 1, 1, 1, 1],
    ],
  },
  {
    name: "inner axis, int64",
    inputs: [random([2, 5, 3]), random([2, 7, 3]), integers([2, 7, 3], 0, 4, "int64")],
    build: ([x, u, i]) => addAtElements(x!, u!, i!, -2),
  },
  {
    inputs: [random([2, 5]), random([2, 3]), integers([2, 2], 0, 1)],
    build: ([x, u, i]) => addAtElements(x!, u!, i!, 1),
    throws: /must be shaped alike, and like \[2, 5\] but for axis 1: got \[2, 3\] and \[2, 2\]/,
  },
  {
    name: "axes other than the one do not fit",
    inputs: [random([2, 5]), random([3, 1]), integers([3, 1], 0, 1)],
    build: ([x, u, i]) => addAtElements(x!, u!, i!, 1),
    throws: /like \[2, 5\] but for axis 1: got \[3, 1\] and \[3, 1\]/,
  },
  {
    name: "updates of another type",
    inputs: [random([2, 5]), integers([2, 1], 0, 1), integers([2, 1], 0, 1)],
    build: ([x, u, i]) => addAtElements(x!, u!, i!, 1),
    throws: "addAtElements: inputs have different data types: got float32 and int32",
  },
]);
