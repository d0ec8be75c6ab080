import { quantizeRows } from "../../../src/ir/ops/quantize-rows.ts";
import { rowRest, rowRestOp } from "../../../src/ir/ops/row-rest.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { random, tensor } from "../../../src/testing/tensors.ts";

describeOp(rowRestOp, [
  {
    name: "what rounding left",
    inputs: [tensor("float32", [1, 4], [127, 0.25, -3.25, 5])],
    build: ([x]) => rowRest(x!, quantizeRows(x!), 127),
    expected: [0, 0.25, -0.25, 0],
  },
  {
    name: "7 bits",
    inputs: [random([5, 17])],
    symbolic: 5,
    // A difference of two numbers that are nearly the same has their rounding.
    tolerance: { ofLargest: 1e-4 },
    build: ([x]) => rowRest(x!, quantizeRows(x!, 63), 63),
  },
]);
