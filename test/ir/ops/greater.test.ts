import { greater, greaterOp } from "../../../src/ir/ops/greater.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(greaterOp, [
  { inputs: [random([3, 5]), random([3, 5])], build: ([x, y]) => greater(x!, y!) },
  { name: "broadcasting both ways", inputs: [random([3, 1, 5]), random([7, 1])], build: ([x, y]) => greater(x!, y!) },
  { name: "a scalar", inputs: [random([3, 5]), random([])], build: ([x, y]) => greater(x!, y!) },
  { name: "one value twice", inputs: [random([3, 5])], build: ([x]) => greater(x!, x!) },
  { name: "no elements", inputs: [random([0, 3]), random([3])], build: ([x, y]) => greater(x!, y!) },
  {
    name: "shapes that do not broadcast",
    inputs: [random([3, 5]), random([3])],
    build: ([x, y]) => greater(x!, y!),
    throws: "greater: shapes do not broadcast: got [3, 5] and [3]",
  },
  {
    name: "different types",
    inputs: [random([3]), integers([3], 0, 5)],
    build: ([x, y]) => greater(x!, y!),
    throws: "greater: inputs have different data types: got float32 and int32",
  },
  {
    name: "int32",
    inputs: [integers([3, 5], 0, 3, "int32"), integers([5], 0, 3, "int32")],
    build: ([x, y]) => greater(x!, y!),
  },
  {
    name: "int64",
    inputs: [integers([3, 5], 0, 3, "int64"), integers([5], 0, 3, "int64")],
    build: ([x, y]) => greater(x!, y!),
  },
  {
    name: "uint32",
    inputs: [integers([3, 5], 0, 3, "uint32"), integers([5], 0, 3, "uint32")],
    build: ([x, y]) => greater(x!, y!),
  },
  {
    name: "special values",
    inputs: [tensor("float32", [4], [0, NaN, Infinity, 2]), tensor("float32", [4], [-0, 1, 2, NaN])],
    build: ([x, y]) => greater(x!, y!),
    smooth: false,
    expected: [0, 0, 1, 0],
  },
]);
