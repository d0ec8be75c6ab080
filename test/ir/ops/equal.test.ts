import { equal, equalOp } from "../../../src/ir/ops/equal.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(equalOp, [
  { inputs: [random([3, 5]), random([3, 5])], build: ([x, y]) => equal(x!, y!) },
  { name: "broadcasting both ways", inputs: [random([3, 1, 5]), random([7, 1])], build: ([x, y]) => equal(x!, y!) },
  { name: "a scalar", inputs: [random([3, 5]), random([])], build: ([x, y]) => equal(x!, y!) },
  { name: "one value twice", inputs: [random([3, 5])], build: ([x]) => equal(x!, x!) },
  { name: "no elements", inputs: [random([0, 3]), random([3])], build: ([x, y]) => equal(x!, y!) },
  {
    name: "shapes that do not broadcast",
    inputs: [random([3, 5]), random([3])],
    build: ([x, y]) => equal(x!, y!),
    throws: "equal: shapes do not broadcast: got [3, 5] and [3]",
  },
  {
    name: "different types",
    inputs: [random([3]), integers([3], 0, 5)],
    build: ([x, y]) => equal(x!, y!),
    throws: "equal: inputs have different data types: got float32 and int32",
  },
  {
    name: "int32",
    inputs: [integers([3, 5], 0, 3, "int32"), integers([5], 0, 3, "int32")],
    build: ([x, y]) => equal(x!, y!),
  },
  {
    name: "int64",
    inputs: [integers([3, 5], 0, 3, "int64"), integers([5], 0, 3, "int64")],
    build: ([x, y]) => equal(x!, y!),
  },
  {
    name: "uint32",
    inputs: [integers([3, 5], 0, 3, "uint32"), integers([5], 0, 3, "uint32")],
    build: ([x, y]) => equal(x!, y!),
  },
  {
    name: "bool",
    inputs: [integers([3, 5], 0, 1, "bool"), integers([5], 0, 1, "bool")],
    build: ([x, y]) => equal(x!, y!),
  },
  {
    name: "special values",
    inputs: [tensor("float32", [4], [-0, NaN, Infinity, 2]), tensor("float32", [4], [0, NaN, Infinity, 3])],
    build: ([x, y]) => equal(x!, y!),
    smooth: false,
    expected: [1, 0, 1, 0],
  },
]);
