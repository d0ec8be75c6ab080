import { expand, expandOp } from "../../../src/ir/ops/expand.ts";
import { dim, shapeOf } from "../../../src/ir/shape.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random } from "../../../src/testing/tensors.ts";

describeOp(expandOp, [
  { name: "a row", inputs: [random([5])], build: ([x]) => expand(x!, shapeOf([3, 5])), symbolic: false },
  { name: "inner axes", inputs: [random([3, 1, 5])], build: ([x]) => expand(x!, x!.type.shape.with(1, dim(7))) },
  {
    name: "to an unknown size",
    inputs: [random([1, 5]), integers([3], 0, 1)],
    build: ([x, y]) => expand(x!, [y!.type.shape[0]!, dim(5)]),
    symbolic: 3,
  },
  { name: "a scalar", inputs: [random([])], build: ([x]) => expand(x!, shapeOf([3, 5])) },
  { name: "to nothing", inputs: [random([1, 5])], build: ([x]) => expand(x!, shapeOf([0, 5])) },
  {
    name: "a shape that does not stretch",
    inputs: [random([3, 5])],
    build: ([x]) => expand(x!, shapeOf([1, 5])),
    throws: "expand: shape does not stretch: got [3, 5], expected [1, 5]",
  },
  {
    name: "a shape that does not fit",
    inputs: [random([3, 5])],
    build: ([x]) => expand(x!, shapeOf([3, 7])),
    throws: "expand: shapes do not broadcast: got [3, 5] and [3, 7]",
  },
]);
