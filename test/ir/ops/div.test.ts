import { div, divOp } from "../../../src/ir/ops/div.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { apart, integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(divOp, [
  { inputs: [random([3, 5]), apart([3, 5])], build: ([x, y]) => div(x!, y!) },
  { name: "broadcasting both ways", inputs: [random([3, 1, 5]), apart([7, 1])], build: ([x, y]) => div(x!, y!) },
  { name: "a scalar", inputs: [random([3, 5]), apart([])], build: ([x, y]) => div(x!, y!) },
  { name: "one value twice", inputs: [random([3, 5])], build: ([x]) => div(x!, x!) },
  { name: "no elements", inputs: [random([0, 3]), apart([3])], build: ([x, y]) => div(x!, y!) },
  {
    name: "shapes that do not broadcast",
    inputs: [random([3, 5]), random([3])],
    build: ([x, y]) => div(x!, y!),
    throws: "div: shapes do not broadcast: got [3, 5] and [3]",
  },
  {
    name: "different types",
    inputs: [random([3]), integers([3], 0, 5)],
    build: ([x, y]) => div(x!, y!),
    throws: "div: inputs have different data types: got float32 and int32",
  },
  {
    name: "special values",
    inputs: [tensor("float32", [5], [0, 1, Infinity, NaN, 1]), tensor("float32", [5], [0, 0, 2, 1, -2])],
    build: ([x, y]) => div(x!, y!),
    smooth: false,
    expected: [NaN, Infinity, Infinity, NaN, -0.5],
  },
]);
