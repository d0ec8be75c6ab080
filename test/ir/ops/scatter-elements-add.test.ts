import { scatterElementsAdd, scatterElementsAddOp } from "../../../src/ir/ops/scatter-elements-add.ts";
import { dim, shapeOf } from "../../../src/ir/shape.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(scatterElementsAddOp, [
  {
    name: "elements that meet add up",
    inputs: [tensor("float32", [2, 3], [1, 2, 3, 4, 5, 6]), tensor("int32", [2, 3], [3, 0, 3, 1, 2, 0])],
    build: ([x, i]) => scatterElementsAdd(x!, i!, [x!.type.shape[0]!, dim(4)], 1),
    expected: [2, 0, 0, 4, 6, 4, 5, 0],
    expectedGradients: [[1, 1, 1, 1, 1, 1]],
  },
  {
    name: "inner axis, int64",
    inputs: [random([2, 7, 3]), integers([2, 7, 3], 0, 4, "int64")],
    build: ([x, i]) => scatterElementsAdd(x!, i!, [x!.type.shape[0]!, dim(5), dim(3)], -2),
  },
  {
    inputs: [random([2, 3]), integers([2, 2], 0, 1)],
    build: ([x, i]) => scatterElementsAdd(x!, i!, shapeOf([2, 5]), 1),
    throws: /must be shaped alike, and like \[2, 5\] but for axis 1: got \[2, 3\] and \[2, 2\]/,
  },
  {
    inputs: [random([2, 3]), integers([2, 3], 0, 1)],
    build: ([x, i]) => scatterElementsAdd(x!, i!, shapeOf([4, 5]), 1),
    throws: /like \[4, 5\]/,
  },
]);
