import type { Graph, Value } from "../../../src/ir/graph.ts";
import { gemmOp } from "../../../src/ir/ops/gemm.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { random } from "../../../src/testing/tensors.ts";

const build = (transA: boolean, transB: boolean, alpha: number) => (values: readonly Value[], graph: Graph) =>
  graph.apply(gemmOp, values, { transA, transB, alpha });

describeOp(gemmOp, [
  { inputs: [random([3, 5]), random([5, 7]), random([3, 7])], build: build(false, false, 0.25) },
  { name: "a row is added", inputs: [random([3, 5]), random([5, 7]), random([7])], build: build(false, false, 1) },
  { name: "A transposed", inputs: [random([5, 3]), random([5, 7]), random([3, 7])], build: build(true, false, -2) },
  { name: "B transposed", inputs: [random([3, 5]), random([7, 5]), random([3, 1])], build: build(false, true, 3) },
  {
    name: "inner dimensions differ",
    inputs: [random([3, 5]), random([7, 5]), random([7])],
    build: build(false, false, 1),
    throws: "matmul: inner dimensions differ: got [3, 5] x [7, 5]",
  },
]);
