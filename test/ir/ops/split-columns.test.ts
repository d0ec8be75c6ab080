import { splitColumns, splitColumnsOp } from "../../../src/ir/ops/split-columns.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { random, tensor } from "../../../src/testing/tensors.ts";

describeOp(splitColumnsOp, [
  {
    name: "the columns of the largest magnitudes, whichever row they are in",
    inputs: [tensor("float32", [2, 4], [1, -2, 3, 0, -9, 4, 3, 1])],
    symbolic: 2,
    build: ([x]) => Object.values(splitColumns(x!, 2)),
    expected: [0, 0, 3, 0, 0, 0, 3, 1],
  },
  {
    name: "of equal ones the first",
    inputs: [tensor("float32", [1, 4], [1, -2, 2, 2])],
    build: ([x]) => splitColumns(x!, 2).indices,
    expected: [1, 2],
  },
  { inputs: [random([7, 33])], symbolic: 7, build: ([x]) => Object.values(splitColumns(x!, 5)) },
  {
    inputs: [random([7, 3])],
    build: ([x]) => splitColumns(x!, 4).rest,
    throws: "splitColumns: needs a matrix of known width: got [7, 3], expected at least 4 columns",
  },
]);
