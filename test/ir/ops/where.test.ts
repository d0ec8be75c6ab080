import { where, whereOp } from "../../../src/ir/ops/where.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(whereOp, [
  { inputs: [integers([3, 5], 0, 1, "bool"), random([3, 5]), random([3, 5])], build: ([c, x, y]) => where(c!, x!, y!) },
  {
    name: "broadcasting",
    inputs: [integers([3, 1, 1], 0, 1, "bool"), random([7, 1]), random([5])],
    build: ([c, x, y]) => where(c!, x!, y!),
  },
  {
    name: "int32",
    inputs: [integers([3, 5], 0, 1, "bool"), integers([3, 5], 0, 99, "int32"), integers([5], 0, 99, "int32")],
    build: ([c, x, y]) => where(c!, x!, y!),
  },
  {
    name: "int64",
    inputs: [integers([3, 5], 0, 1, "bool"), integers([3, 5], 0, 99, "int64"), integers([5], 0, 99, "int64")],
    build: ([c, x, y]) => where(c!, x!, y!),
  },
  {
    name: "uint32",
    inputs: [
      integers([3, 5], 0, 1, "bool"),
      integers([3, 5], 0, 4294967295, "uint32"),
      integers([5], 0, 4294967295, "uint32"),
    ],
    build: ([c, x, y]) => where(c!, x!, y!),
  },
  {
    name: "bool",
    inputs: [integers([3, 5], 0, 1, "bool"), integers([3, 5], 0, 1, "bool"), integers([5], 0, 1, "bool")],
    build: ([c, x, y]) => where(c!, x!, y!),
  },
  {
    name: "uint8",
    inputs: [integers([3, 5], 0, 1, "bool"), integers([3, 5], 0, 255, "uint8"), integers([5], 0, 255, "uint8")],
    build: ([c, x, y]) => where(c!, x!, y!),
  },
  {
    name: "int8",
    inputs: [integers([3, 5], 0, 1, "bool"), integers([3, 5], 0, 99, "int8"), integers([5], 0, 99, "int8")],
    build: ([c, x, y]) => where(c!, x!, y!),
  },
  {
    name: "what is not chosen does not count",
    inputs: [tensor("bool", [2], [1, 0]), tensor("float32", [2], [1, NaN]), tensor("float32", [2], [Infinity, 2])],
    build: ([c, x, y]) => where(c!, x!, y!),
    smooth: false,
    expected: [1, 2],
    expectedGradients: [
      [1, 0],
      [0, 1],
    ],
  },
  {
    name: "no elements",
    inputs: [integers([0, 3], 0, 1, "bool"), random([3]), random([])],
    build: ([c, x, y]) => where(c!, x!, y!),
  },
  {
    name: "a condition of numbers",
    inputs: [random([3]), random([3]), random([3])],
    build: ([c, x, y]) => where(c!, x!, y!),
    throws: "where: condition has the wrong type: got float32, expected bool",
  },
  {
    name: "different types",
    inputs: [integers([3], 0, 1, "bool"), random([3]), integers([3], 0, 1)],
    build: ([c, x, y]) => where(c!, x!, y!),
    throws: "where: inputs have different data types: got float32 and int32",
  },
]);
