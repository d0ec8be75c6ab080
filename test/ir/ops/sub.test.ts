import { sub, subOp } from "../../../src/ir/ops/sub.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(subOp, [
  { inputs: [random([3, 5]), random([3, 5])], build: ([x, y]) => sub(x!, y!) },
  { name: "broadcasting both ways", inputs: [random([3, 1, 5]), random([7, 1])], build: ([x, y]) => sub(x!, y!) },
  { name: "a scalar", inputs: [random([3, 5]), random([])], build: ([x, y]) => sub(x!, y!) },
  { name: "one value twice", inputs: [random([3, 5])], build: ([x]) => sub(x!, x!) },
  { name: "no elements", inputs: [random([0, 3]), random([3])], build: ([x, y]) => sub(x!, y!) },
  {
    name: "shapes that do not broadcast",
    inputs: [random([3, 5]), random([3])],
    build: ([x, y]) => sub(x!, y!),
    throws: "sub: shapes do not broadcast: got [3, 5] and [3]",
  },
  {
    name: "different types",
    inputs: [random([3]), integers([3], 0, 5)],
    build: ([x, y]) => sub(x!, y!),
    throws: "sub: inputs have different data types: got float32 and int32",
  },
  {
    name: "special values",
    inputs: [tensor("float32", [5], [0, Infinity, Infinity, NaN, 1]), tensor("float32", [5], [0, Infinity, 1, 1, -1])],
    build: ([x, y]) => sub(x!, y!),
    smooth: false,
    expected: [0, NaN, Infinity, NaN, 2],
  },
]);
