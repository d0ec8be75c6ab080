/** Products take in the sum that follows them: a bias, or the branch of an adapter. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Graph, type Value } from "../../../src/ir/graph.ts";
import { ndarray } from "../../../src/ir/ndarray.ts";
import { add, matmul, mul, relu, reshape, scalar } from "../../../src/ir/ops/index.ts";
import type { GemmAttrs } from "../../../src/ir/ops/gemm.ts";
import { removeDeadCode } from "../../../src/ir/passes/dead-code.ts";
import { fuseGemm } from "../../../src/ir/passes/fuse-gemm.ts";
import { shapeOf } from "../../../src/ir/shape.ts";
import { interpret } from "../../../src/runtime/interp.ts";
import { assertClose } from "../../support/close.ts";
import { noise } from "../../support/run.ts";

const SHAPES = { x: [5, 7], w: [3, 7], a: [2, 7], b: [3, 2], bias: [3], c: [5, 3], s: [] };
type Inputs = Readonly<Record<keyof typeof SHAPES, Value>>;

/** A graph with these inputs whose outputs are what `build` returns. */
function graphOf(build: (inputs: Inputs, graph: Graph) => Readonly<Record<string, Value>>): Graph {
  const graph = new Graph();
  const inputs = Object.fromEntries(
    Object.entries(SHAPES).map(([name, shape]) => [
      name,
      graph.feed(name, { dtype: "float32", shape: shapeOf(shape) }),
    ]),
  ) as Inputs;
  for (const [name, value] of Object.entries(build(inputs, graph))) graph.output(name, value);
  return graph;
}

function numbersOf(graph: Graph): Record<string, Float64Array> {
  const inputs = Object.entries(SHAPES).map(([name, shape], i) => [
    name,
    ndarray(shape, noise(shape, i + 1).data as Float32Array),
  ]);
  const { outputs } = interpret(graph, Object.fromEntries(inputs) as Record<string, ReturnType<typeof ndarray>>);
  return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data]));
}

/** Names of the operations after the pass; the numbers are checked to stay. */
function fusedOps(graph: Graph): string[] {
  const after = removeDeadCode(fuseGemm(graph));
  const [before, now] = [numbersOf(graph), numbersOf(after)];
  for (const name of Object.keys(before)) assertClose(now[name]!, before[name]!, { ofLargest: 1e-12 }, name);
  return after.nodes.map((node) => node.op.name).filter((name) => name !== "constant");
}

const linear = ({ x, w }: Inputs) => matmul(x, w, { transB: true });
const branch = ({ x, a, b }: Inputs) => matmul(matmul(x, a, { transB: true }), b, { transB: true });

describe("fuse gemm", () => {
  test("a linear layer with its bias, on either side of the sum", () => {
    assert.deepEqual(fusedOps(graphOf((i) => ({ y: add(linear(i), i.bias) }))), ["gemm"]);
    assert.deepEqual(fusedOps(graphOf((i) => ({ y: relu(add(i.c, linear(i))) }))), ["gemm", "relu"]);
  });

  test("LoRA's branch, whose constant scales become alpha", () => {
    const graph = graphOf((i, g) => {
      const scaled = mul(mul(branch(i), scalar(g, 2.5)), scalar(g, 0.3));
      return { y: relu(add(add(linear(i), i.bias), scaled)) };
    });
    assert.deepEqual(fusedOps(graph), ["matmul", "gemm", "gemm", "relu"]);
    const alphas = fuseGemm(graph).nodes.flatMap(({ op, attrs }) =>
      op.name === "gemm" ? (attrs as GemmAttrs).alpha : [],
    );
    assert.deepEqual(alphas, [1, 0.75]);
  });

  test("not where the product is needed for itself, or its scale is known only when the graph runs", () => {
    assert.deepEqual(
      fusedOps(
        graphOf((i) => {
          const y = linear(i);
          return { y: add(y, i.bias), z: relu(y) };
        }),
      ).toSorted(),
      ["add", "matmul", "relu"],
    );
    assert.deepEqual(fusedOps(graphOf((i) => ({ y: relu(add(i.c, mul(linear(i), i.s))) }))), [
      "matmul",
      "mul",
      "add",
      "relu",
    ]);
  });

  test("not where the sum stretches the product", () => {
    const graph = graphOf((i) => {
      const row = matmul(reshape(i.bias, [1, 3]), i.w);
      return { y: relu(add(row, i.x)) };
    });
    assert.deepEqual(fusedOps(graph), ["reshape", "matmul", "add", "relu"]);
  });
});
