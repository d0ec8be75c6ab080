import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { grad } from "../../../src/ir/grad.ts";
import { Graph, reachable, results, type Value } from "../../../src/ir/graph.ts";
import { ndarray, sizeOfShape } from "../../../src/ir/ndarray.ts";
import { add } from "../../../src/ir/ops/add.ts";
import { scalar } from "../../../src/ir/ops/constant.ts";
import { matmul } from "../../../src/ir/ops/matmul.ts";
import { mul } from "../../../src/ir/ops/mul.ts";
import { relu } from "../../../src/ir/ops/relu.ts";
import { reduceSum } from "../../../src/ir/ops/reduce-sum.ts";
import { optimize } from "../../../src/ir/passes/index.ts";
import { stackProducts } from "../../../src/ir/passes/stack-products.ts";
import { dim, shapeOf, sizesOf } from "../../../src/ir/shape.ts";
import { interpret } from "../../../src/runtime/interp.ts";
import { randomNumbers } from "../../../src/testing/tensors.ts";

const ROWS = 40;

/** Values of all results, for random inputs. */
function evaluate(graph: Graph): Record<string, Float64Array> {
  const sizes = { N: ROWS };
  const arrays = Object.fromEntries(
    graph.inputs.map(({ value }, i) => {
      const shape = sizesOf(value.type.shape, sizes);
      const next = randomNumbers(i + 1);
      return [
        value.name,
        ndarray(
          shape,
          Float64Array.from({ length: sizeOfShape(shape) }, () => next() - 0.5),
        ),
      ];
    }),
  );
  const { outputs, updates } = interpret(graph, arrays, sizes);
  return Object.fromEntries(
    [...Object.entries(outputs), ...Object.entries(updates)].map(([name, { data }]) => [name, data]),
  );
}

function assertSame(got: Graph, want: Graph): void {
  const [a, b] = [evaluate(got), evaluate(want)];
  assert.deepEqual(Object.keys(a).sort(), Object.keys(b).sort());
  for (const [name, values] of Object.entries(b)) {
    values.forEach((value, i) =>
      assert.ok(Math.abs(a[name]![i]! - value) < 1e-12, `${name}: ${a[name]![i]}, not ${value}`),
    );
  }
}

function products(graph: Graph): { name: string; shape: string }[] {
  return reachable(graph, results(graph))
    .filter(({ op }) => op.name === "matmul" || op.name === "gemm")
    .map(({ op, inputs, outputs }) => ({
      name: op.name,
      shape: [...inputs.slice(0, 2), outputs[0]!]
        .map(({ type }) => type.shape.map((d) => d.size ?? d.name).join("×"))
        .join(" "),
    }));
}

/** Three adapted layers of different sizes and ranks on the same rows, and their gradients. */
function threeLayers(rows: string | number = "N"): Graph {
  const graph = new Graph();
  const x0 = graph.feed("x", { dtype: "float32", shape: [dim(rows), dim(20)] });
  const state = (name: string, shape: readonly number[]) =>
    graph.state(name, { dtype: "float32", shape: shapeOf(shape) });
  const x = relu(mul(x0, state("scale", [20])));
  const ranks = [4, 3, 5];
  const wanted: Value[] = [];
  const y = ranks.map((r, i) => {
    const [A, B, W] = [state(`A${i}`, [r, 20]), state(`B${i}`, [7 + i, r]), state(`W${i}`, [7 + i, 20])];
    wanted.push(A, B);
    return add(matmul(x, W, { transB: true }), matmul(matmul(x, A, { transB: true }), B, { transB: true }));
  });
  const loss = y.map((value) => reduceSum(mul(value, relu(value)))).reduce(add);
  const scale = state("scale", [20]);
  grad(loss, [...wanted, scale]).forEach((gradient, i) => graph.output(`gradient ${i}`, gradient));
  graph.output("loss", loss);
  return graph;
}

describe("stackProducts", () => {
  it("takes products of layers that share their rows together, in both passes", () => {
    const graph = threeLayers();
    const stacked = stackProducts(graph, {});
    assertSame(stacked, graph);
    const shapes = products(stacked).map(({ shape }) => shape);
    const count = (shape: string) => shapes.filter((each) => each === shape).length;
    // x [A₀; A₁; A₂]ᵀ, [D₀, D₁, D₂]ᵀ x, and [D₀, D₁, D₂] [A₀; A₁; A₂]. None of the small ones is left.
    assert.equal(count("N×20 12×20 N×12"), 1);
    assert.equal(count("N×12 N×20 12×20"), 1);
    assert.equal(count("N×12 12×20 N×20"), 1);
    for (const r of [4, 3, 5]) {
      assert.equal(count(`N×20 ${r}×20 N×${r}`) + count(`N×${r} N×20 ${r}×20`) + count(`N×${r} ${r}×20 N×20`), 0);
    }
    const concats = optimize(graph, { device: "cpu", typicalSizes: {} }).nodes.filter(({ op }) => op.name === "concat");
    // [A₀; A₁; A₂], and the derivatives of x A₀ᵀ, x A₁ᵀ and x A₂ᵀ in two orders.
    assert.equal(concats.length, 3, "matrices are put together once for both passes");
  });

  it("leaves them as they are for a few rows", () => {
    const graph = threeLayers(8);
    assert.equal(stackProducts(graph, {}), graph);
    const named = threeLayers();
    assert.equal(stackProducts(named, { N: 8 }), named);
  });

  it("does not take together what depends on each other", () => {
    const graph = new Graph();
    const state = (name: string, shape: readonly number[]) =>
      graph.state(name, { dtype: "float32", shape: shapeOf(shape) });
    const [x, D] = [state("x", [ROWS, 12]), state("D", [ROWS, 3])];
    const first = matmul(D, x, { transA: true }); // [3, 12]
    const second = matmul(matmul(x, first, { transB: true }), x, { transA: true });
    graph.output("first", first);
    graph.output("second", second);
    assertSame(stackProducts(graph, {}), graph);
    assert.equal(products(stackProducts(graph, {})).length, 3);
  });

  it("keeps terms that are read elsewhere", () => {
    const graph = new Graph();
    const state = (name: string, shape: readonly number[]) =>
      graph.state(name, { dtype: "float32", shape: shapeOf(shape) });
    const terms = [0, 1, 2].map((i) => matmul(state(`D${i}`, [ROWS, 2]), state(`A${i}`, [2, 9])));
    graph.output("sum", terms.reduce(add));
    graph.output("second", terms[1]!);
    const stacked = stackProducts(graph, {});
    assertSame(stacked, graph);
    assert.deepEqual(
      products(stacked)
        .map(({ shape }) => shape)
        .sort(),
      ["40×2 2×9 40×9", "40×4 4×9 40×9"],
    );
  });

  it("takes terms with scales, with transposed factors, and leaves the others", () => {
    const graph = new Graph();
    const state = (name: string, shape: readonly number[]) =>
      graph.state(name, { dtype: "float32", shape: shapeOf(shape) });
    const term = (name: string, r: number) =>
      matmul(state(`D${name}`, [ROWS, r]), state(`B${name}`, [30, r]), { transB: true });
    const plain = matmul(state("D", [ROWS, 2]), state("A", [2, 30]));
    const wide = matmul(state("E", [ROWS, 25]), state("F", [30, 25]), { transB: true });
    const scaled = mul(term("2", 3), scalar(graph, 2.5));
    graph.output("sum", [state("x", [ROWS, 30]), term("1", 2), wide, plain, scaled].reduce(add));
    const stacked = stackProducts(graph, {});
    assertSame(stacked, graph);
    assert.deepEqual(
      products(stacked)
        .map(({ shape }) => shape)
        .sort(),
      ["40×2 2×30 40×30", "40×25 30×25 40×30", "40×5 30×5 40×30"],
    );
  });

  it("goes well with everything that follows", () => {
    const graph = threeLayers();
    assertSame(optimize(graph, { device: "cpu", typicalSizes: { N: ROWS } }), graph);
  });
});
