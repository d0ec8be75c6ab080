import { matmul, matmulOp } from "../../../src/ir/ops/matmul.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random } from "../../../src/testing/tensors.ts";

describeOp(matmulOp, [
  { inputs: [random([3, 5]), random([5, 7])], build: ([a, b]) => matmul(a!, b!) },
  {
    name: "A transposed",
    inputs: [random([5, 3]), random([5, 7])],
    build: ([a, b]) => matmul(a!, b!, { transA: true }),
    symbolic: 3,
  },
  {
    name: "A transposed, unknown inner size",
    inputs: [random([5, 3]), random([5, 7])],
    build: ([a, b]) => matmul(a!, b!, { transA: true }),
  },
  {
    name: "B transposed",
    inputs: [random([3, 5]), random([7, 5])],
    build: ([a, b]) => matmul(a!, b!, { transB: true }),
  },
  {
    name: "both transposed",
    inputs: [random([5, 3]), random([7, 5])],
    build: ([a, b]) => matmul(a!, b!, { transA: true, transB: true }),
    symbolic: 3,
  },
  { name: "batches", inputs: [random([3, 2, 5]), random([3, 5, 7])], build: ([a, b]) => matmul(a!, b!) },
  {
    name: "batches, A transposed",
    inputs: [random([3, 5, 2]), random([3, 5, 7])],
    build: ([a, b]) => matmul(a!, b!, { transA: true }),
  },
  {
    name: "batches, B transposed",
    inputs: [random([3, 2, 5]), random([3, 7, 5])],
    build: ([a, b]) => matmul(a!, b!, { transB: true }),
  },
  {
    name: "batches, both transposed",
    inputs: [random([3, 5, 2]), random([3, 7, 5])],
    build: ([a, b]) => matmul(a!, b!, { transA: true, transB: true }),
  },
  {
    name: "one matrix for all batches",
    inputs: [random([3, 2, 5]), random([5, 7])],
    build: ([a, b]) => matmul(a!, b!),
  },
  {
    name: "one matrix for all batches, transposed",
    inputs: [random([3, 2, 5]), random([7, 5])],
    build: ([a, b]) => matmul(a!, b!, { transB: true }),
  },
  {
    name: "batches that broadcast",
    inputs: [random([3, 1, 2, 5]), random([4, 5, 7])],
    build: ([a, b]) => matmul(a!, b!),
  },
  { name: "no rows", inputs: [random([0, 5]), random([5, 7])], build: ([a, b]) => matmul(a!, b!) },
  {
    name: "inner dimensions differ",
    inputs: [random([3, 5]), random([7, 5])],
    build: ([a, b]) => matmul(a!, b!),
    throws: "matmul: inner dimensions differ: got [3, 5] x [7, 5]",
  },
  {
    name: "inner dimensions differ after transposing",
    inputs: [random([3, 5]), random([5, 7])],
    build: ([a, b]) => matmul(a!, b!, { transB: true }),
    throws: "matmul: inner dimensions differ: got [3, 5] x [5, 7]ᵀ",
  },
  {
    name: "a vector",
    inputs: [random([5]), random([5, 7])],
    build: ([a, b]) => matmul(a!, b!),
    throws: "matmul: needs matrices: got [5] and [5, 7]",
  },
  {
    name: "batches that do not broadcast",
    inputs: [random([3, 2, 5]), random([4, 5, 7])],
    build: ([a, b]) => matmul(a!, b!),
    throws: "matmul: shapes do not broadcast: got [3] and [4]",
  },
  {
    name: "different types",
    inputs: [random([3, 5]), integers([5, 7], 0, 3)],
    build: ([a, b]) => matmul(a!, b!),
    throws: "matmul: inputs have different data types: got float32 and int32",
  },
]);
