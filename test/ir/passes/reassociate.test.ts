/** Products of matrices are put into the cheapest order, and never into a dearer one. */
import assert from "node:assert/strict";
import test from "node:test";
import { adapterHook, attach } from "../../../src/adapters/adapter.ts";
import { lora } from "../../../src/adapters/lora.ts";
import { Graph, reachable, results, type Value } from "../../../src/ir/graph.ts";
import { add } from "../../../src/ir/ops/add.ts";
import { scalar } from "../../../src/ir/ops/constant.ts";
import { matmul, type MatMulAttrs } from "../../../src/ir/ops/matmul.ts";
import { mul } from "../../../src/ir/ops/mul.ts";
import { reduceSum } from "../../../src/ir/ops/reduce-sum.ts";
import { tanh } from "../../../src/ir/ops/tanh.ts";
import { ndarray } from "../../../src/ir/ndarray.ts";
import { optimize } from "../../../src/ir/passes/index.ts";
import { reassociate } from "../../../src/ir/passes/reassociate.ts";
import { type DimLike, type DimSizes, printShape, shapeOf, sizeOf, sizesOf } from "../../../src/ir/shape.ts";
import { mlp } from "../../../src/models/mlp.ts";
import { sgd } from "../../../src/optim/sgd.ts";
import { Random } from "../../../src/random.ts";
import { interpret } from "../../../src/runtime/interp.ts";
import { trainingGraph } from "../../../src/train/training-graph.ts";
import { assertClose } from "../../support/close.ts";
import { noise } from "../../support/run.ts";

function feed(graph: Graph, name: string, shape: readonly DimLike[]): Value {
  return graph.feed(name, { dtype: "float32", shape: shapeOf(shape) });
}

/** Multiplications in all products that results depend on. */
function multiplications(graph: Graph, sizes: DimSizes = {}): number {
  return products(graph).reduce((sum, { inputs: [a], outputs: [c], attrs }) => {
    const { transA } = attrs as MatMulAttrs;
    const inner = a!.type.shape.at(transA ? -2 : -1)!;
    return sum + sizesOf(c!.type.shape, sizes).reduce((x, y) => x * y, sizeOf(inner, sizes));
  }, 0);
}

function products(graph: Graph) {
  return reachable(graph, results(graph)).filter(({ op }) => op.name === "matmul" || op.name === "gemm");
}

function shapesOf(graph: Graph): string[] {
  return products(graph).map(({ outputs }) => printShape(outputs[0]!.type.shape));
}

test("(P Q) R becomes P (Q R) where that is less, with any of them transposed", () => {
  for (let bits = 0; bits < 16; bits++) {
    const [tp, tq, tr, tv] = [0, 1, 2, 3].map((i) => (bits >> i) % 2 === 1);
    const graph = new Graph();
    const stored = (name: string, rows: number, columns: number, flipped: boolean) =>
      feed(graph, name, flipped ? [columns, rows] : [rows, columns]);
    // V = P Q is [50, 40] of rank 2; R is [40, 3], or V is read as its transpose and R is [50, 3].
    const [p, q] = [stored("p", 50, 2, tp!), stored("q", 2, 40, tq!)];
    const r = stored("r", tv! ? 50 : 40, 3, tr!);
    const v = matmul(p, q, { transA: tp!, transB: tq! });
    graph.output("y", matmul(v, r, { transA: tv!, transB: tr! }));
    const after = reassociate(graph, {});
    assert.equal(multiplications(graph), 50 * 2 * 40 + 50 * 40 * 3, "before");
    assert.equal(multiplications(after), 50 * 2 * 3 + 2 * 40 * 3, `transposes ${bits}`);
    const inputs = Object.fromEntries(
      graph.inputs.map(({ value }, i) => {
        const { shape, data } = noise(sizesOf(value.type.shape), i);
        return [value.name, ndarray(shape, data as Float32Array)];
      }),
    );
    const [before, now] = [interpret(graph, inputs).outputs["y"]!, interpret(after, inputs).outputs["y"]!];
    assert.deepEqual(now.shape, before.shape);
    assertClose(now.data, before.data, { ofLargest: 1e-13 });
  }
});

test("the mirrored case: R (P Q) becomes (R P) Q", () => {
  const graph = new Graph();
  const v = matmul(feed(graph, "p", [50, 2]), feed(graph, "q", [2, 40]));
  graph.output("y", matmul(feed(graph, "r", [3, 50]), v));
  assert.deepEqual(shapesOf(reassociate(graph, {})), ["[3, 2]", "[3, 40]"]);
});

test("longer chains are taken apart step by step", () => {
  const graph = new Graph();
  const factors = [
    [30, 2],
    [2, 30],
    [30, 2],
    [2, 30],
    [30, 1],
  ].map((shape, i) => feed(graph, `f${i}`, shape));
  graph.output(
    "y",
    factors.slice(1).reduce((product, factor) => matmul(product, factor), factors[0]!),
  );
  // From the right, each product is a vector: 2·30 + 30·2 + 2·30 + 30·2.
  assert.equal(multiplications(reassociate(graph, {})), 240);
});

test("a scaled product is taken apart too, and the scale comes last", () => {
  const graph = new Graph();
  const v = mul(matmul(feed(graph, "p", [50, 2]), feed(graph, "q", [2, 40])), scalar(graph, 0.25));
  graph.output("y", matmul(v, feed(graph, "r", [40, 3])));
  const after = reassociate(graph, {});
  assert.deepEqual(shapesOf(after), ["[2, 3]", "[50, 3]"]);
  assert.equal(after.outputs.get("y")!.producer!.op.name, "mul");
});

test("a product that is a result, or is read by anything else, stays", () => {
  const build = (use: (graph: Graph, v: Value) => void) => {
    const graph = new Graph();
    const v = matmul(feed(graph, "p", [50, 2]), feed(graph, "q", [2, 40]));
    graph.output("y", matmul(v, feed(graph, "r", [40, 3])));
    use(graph, v);
    return shapesOf(reassociate(graph, {}));
  };
  const kept = ["[50, 40]", "[50, 3]"];
  assert.deepEqual(
    build((graph, v) => graph.output("v", v)),
    kept,
  );
  assert.deepEqual(
    build((graph, v) => graph.output("sum", reduceSum(tanh(v)))),
    kept,
  );
  assert.deepEqual(
    build((graph, v) => graph.update(graph.state("s", v.type), v)),
    kept,
  );
  assert.deepEqual(
    build(() => undefined),
    ["[2, 3]", "[50, 3]"],
  );
});

test("a product that several others read goes only if that is less for all of them together", () => {
  const build = (widths: readonly number[]) => {
    const graph = new Graph();
    const v = matmul(feed(graph, "p", [20, 4]), feed(graph, "q", [4, 20]));
    widths.forEach((width, i) => graph.output(`y${i}`, matmul(v, feed(graph, `r${i}`, [20, width]))));
    const after = reassociate(graph, {});
    return { before: multiplications(graph), after: multiplications(after), shapes: shapesOf(after) };
  };
  // V once: 1600, and 400 for each column; without V, 160 for each column.
  assert.deepEqual(build([1, 1]), { before: 2400, after: 320, shapes: ["[4, 1]", "[20, 1]", "[4, 1]", "[20, 1]"] });
  const square = new Graph();
  const v = matmul(feed(square, "p", [20, 18]), feed(square, "q", [18, 20]));
  square.output("y", matmul(v, feed(square, "r", [20, 200])));
  assert.equal(multiplications(reassociate(square, {})), multiplications(square));
});

test("the order for sizes known by name only depends on the typical ones", () => {
  const graph = new Graph();
  const v = matmul(feed(graph, "p", [30, "r"]), feed(graph, "q", ["r", 30]));
  graph.output("y", matmul(v, feed(graph, "x", [30, "B"])));
  // V costs 900 r and saves B · (60 r - 900): with r = 2 it never pays, with r = 20 from B = 60 on.
  const count = (sizes: DimSizes) => products(reassociate(graph, sizes)).map(({ outputs }) => outputs[0]!.type.shape);
  assert.equal(printShape(count({ r: 2, B: 1000 })[0]!), "[r, B]");
  assert.equal(printShape(count({ r: 20, B: 50 })[0]!), "[r, B]");
  assert.equal(printShape(count({ r: 20, B: 70 })[0]!), "[30, 30]");
});

test("never more multiplications than before, in random nets of products", () => {
  let saved = 0;
  for (let seed = 0; seed < 300; seed++) {
    const random = new Random(seed);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random.uniform() * from.length)]!;
    const graph = new Graph();
    const sizes = [2, 3, 7, 20, 31];
    const values = Array.from({ length: 6 }, (_, i) => feed(graph, `x${i}`, [pick(sizes), pick(sizes)]));
    for (let i = 0; i < 12; i++) {
      const a = pick(values);
      const b = pick(values.filter(({ type }) => type.shape[0]!.size === a.type.shape[1]!.size));
      if (b === undefined) continue;
      const product = matmul(a, b);
      values.push(random.uniform() < 0.2 ? mul(product, scalar(graph, 0.5)) : product);
    }
    graph.output("y", values.at(-1)!);
    graph.output("z", reduceSum(values.at(-2)!));
    const [before, after] = [multiplications(graph), multiplications(reassociate(graph, {}))];
    assert.ok(after <= before, `seed ${seed}: ${after} instead of ${before}`);
    saved += Number(after < before);
  }
  assert.ok(saved > 50, `only ${saved} graphs had something to save`);
});

test("weight-form LoRA: no gradient of the weight's size, and a large batch keeps its forward pass", () => {
  const model = mlp([30, 40]);
  const adapter = attach(model, lora, { config: { r: 4, alpha: 10, form: "weight" } });
  const { graph } = trainingGraph({
    parameters: [...model.parameters, ...adapter.parameters],
    trainable: new Set(adapter.parameters.map(({ name }) => name)),
    optimizer: sgd(),
    adapt: (seed) => adapterHook([adapter], { seed }),
    loss(tracing) {
      const x = tracing.graph.feed("x", { dtype: "float32", shape: shapeOf(["B", 30]) });
      const y = model.forward(tracing, { x });
      return reduceSum(mul(y, y));
    },
  });
  const B = 1000;
  const shapes = (from: Graph) => shapesOf(from).filter((shape) => shape === "[40, 30]").length;
  // Written down: B A, and dY xᵀ.
  assert.equal(shapes(graph), 2);
  const optimized = optimize(graph, { device: "cpu", typicalSizes: { B } });
  assert.equal(shapes(optimized), 1);
  const forward = (from: Graph) => reachable(from, [from.outputs.get("loss")!]).map(({ op }) => op.name);
  assert.deepEqual(
    forward(optimized).filter((name) => name === "matmul" || name === "gemm").length,
    forward(graph).filter((name) => name === "matmul").length,
  );
  // dY xᵀ is B · 40 · 30; A x, dY (A x)ᵀ, Bᵀ dY and (Bᵀ dY) xᵀ are B · 4 · 140 together.
  const saved = multiplications(graph, { B }) - multiplications(optimized, { B });
  assert.ok(saved >= B * (40 * 30 - 4 * 140), `${saved} saved`);
});

test("scopes and marks of recomputation stay", () => {
  const graph = new Graph();
  const [p, q, r] = [feed(graph, "p", [50, 2]), feed(graph, "q", [2, 40]), feed(graph, "r", [40, 3])];
  const v = graph.scope("inner", () => matmul(p, q));
  const y = graph.recompute(3, () => graph.scope("outer", () => matmul(v, r)));
  graph.output("y", add(y, y));
  for (const node of products(reassociate(graph, {}))) {
    assert.equal(node.scope, "outer");
    assert.equal(node.recomputes, 3);
  }
});
