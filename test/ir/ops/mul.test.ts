import { mul, mulOp } from "../../../src/ir/ops/mul.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(mulOp, [
  { inputs: [random([3, 5]), random([3, 5])], build: ([x, y]) => mul(x!, y!) },
  { name: "broadcasting both ways", inputs: [random([3, 1, 5]), random([7, 1])], build: ([x, y]) => mul(x!, y!) },
  { name: "a scalar", inputs: [random([3, 5]), random([])], build: ([x, y]) => mul(x!, y!) },
  { name: "one value twice", inputs: [random([3, 5])], build: ([x]) => mul(x!, x!) },
  { name: "no elements", inputs: [random([0, 3]), random([3])], build: ([x, y]) => mul(x!, y!) },
  {
    name: "shapes that do not broadcast",
    inputs: [random([3, 5]), random([3])],
    build: ([x, y]) => mul(x!, y!),
    throws: "mul: shapes do not broadcast: got [3, 5] and [3]",
  },
  {
    name: "different types",
    inputs: [random([3]), integers([3], 0, 5)],
    build: ([x, y]) => mul(x!, y!),
    throws: "mul: inputs have different data types: got float32 and int32",
  },
  {
    name: "special values",
    inputs: [tensor("float32", [5], [0, Infinity, Infinity, NaN, 2]), tensor("float32", [5], [3, 0, -1, 1, -1])],
    build: ([x, y]) => mul(x!, y!),
    smooth: false,
    expected: [0, NaN, -Infinity, NaN, -2],
  },
  {
    name: "wrapping around in uint32",
    inputs: [tensor("uint32", [2], [4294967295, 65536]), tensor("uint32", [2], [1, 3])],
    build: ([x, y]) => mul(x!, y!),
    expected: [4294967295, 196608],
  },
]);
