import { concat, concatOp } from "../../../src/ir/ops/concat.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { random, tensor } from "../../../src/testing/tensors.ts";

describeOp(concatOp, [
  {
    name: "two columns",
    inputs: [tensor("float32", [2, 1], [1, 2]), tensor("float32", [2, 2], [3, 4, 5, 6])],
    build: (values) => concat(values, 1),
    expected: [1, 3, 4, 2, 5, 6],
  },
  { inputs: [random([5, 3, 2]), random([1, 3, 2]), random([4, 3, 2])], build: (values) => concat(values, 0) },
  { name: "inner axis", inputs: [random([2, 3, 5]), random([2, 1, 5])], build: (values) => concat(values, -2) },
  {
    name: "three parts of sizes known by name only",
    inputs: [random([3, 2]), random([3, 2]), random([3, 2])],
    build: (values) => concat(values, 0),
  },
  {
    name: "a part that is empty",
    inputs: [random([2, 3]), tensor("float32", [2, 0], [])],
    build: (values) => concat(values, 1),
  },
  { name: "one value twice", inputs: [random([2, 3])], build: ([x]) => concat([x!, x!], 0) },
  {
    inputs: [random([2, 3]), random([4, 5])],
    build: (values) => concat(values, 1),
    throws: "concat: shapes differ in more than axis 1: got [2, 3] and [4, 5]",
  },
  { inputs: [random([2]), random([2, 1])], build: (values) => concat(values, 0), throws: /differ in more than axis 0/ },
  {
    inputs: [random([2]), tensor("int32", [1], [1])],
    build: (values) => concat(values, 0),
    throws: /different data types: got float32 and int32/,
  },
  { name: "nothing", inputs: [], build: () => concat([], 0), throws: "concat: needs at least one value: got 0" },
]);
