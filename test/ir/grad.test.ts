import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { GraphError } from "../../src/errors.ts";
import type { DType } from "../../src/ir/dtype.ts";
import { grad } from "../../src/ir/grad.ts";
import { apply, Graph, reachable, type Value } from "../../src/ir/graph.ts";
import { ndarray } from "../../src/ir/ndarray.ts";
import type { Op } from "../../src/ir/op.ts";
import { add } from "../../src/ir/ops/add.ts";
import { cast } from "../../src/ir/ops/cast.ts";
import { constant, scalar } from "../../src/ir/ops/constant.ts";
import { greater } from "../../src/ir/ops/greater.ts";
import { matmul } from "../../src/ir/ops/matmul.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { reduceSum } from "../../src/ir/ops/reduce-sum.ts";
import { relu } from "../../src/ir/ops/relu.ts";
import { tanh } from "../../src/ir/ops/tanh.ts";
import { type DimLike, printShape, shapeOf } from "../../src/ir/shape.ts";
import { interpret } from "../../src/runtime/interp.ts";

function feed(graph: Graph, name: string, shape: readonly DimLike[], dtype: DType = "float32"): Value {
  return graph.feed(name, { dtype, shape: shapeOf(shape) });
}

function fails(run: () => unknown, message: string): void {
  assert.throws(run, (error) => {
    assert.ok(error instanceof GraphError);
    assert.equal(error.message, message);
    return true;
  });
}

function counts(graph: Graph, values: readonly Value[]): Record<string, number> {
  const result: Record<string, number> = {};
  for (const { op } of reachable(graph, values)) result[op.name] = (result[op.name] ?? 0) + 1;
  return result;
}

describe("what is built", () => {
  /** Three linear layers with ReLU, x [B, 4], widths 5, 3, 2. */
  function layers() {
    const graph = new Graph();
    const x = feed(graph, "x", ["B", 4]);
    const widths = [4, 5, 3, 2];
    const weights = [0, 1, 2].map((i) =>
      graph.state(`w${i}`, { dtype: "float32", shape: shapeOf([widths[i + 1]!, widths[i]!]) }),
    );
    const loss = reduceSum(weights.reduce((h, w) => relu(matmul(h, w, { transB: true })), x));
    return { graph, x, weights, loss };
  }
  const newNodes = (wanted: readonly (0 | 1 | 2)[]) => {
    const { graph, weights, loss } = layers();
    const before = graph.nodes.length;
    grad(
      loss,
      wanted.map((i) => weights[i]!),
    );
    return graph.nodes.slice(before);
  };
  const products = (wanted: readonly (0 | 1 | 2)[]) => newNodes(wanted).filter(({ op }) => op.name === "matmul").length;

  test("one product per trainable weight, and one per layer above the lowest", () => {
    assert.equal(products([2]), 1);
    assert.equal(products([1, 2]), 3);
    assert.equal(products([1]), 2);
    assert.equal(products([0]), 3);
    assert.equal(products([0, 1, 2]), 5);
  });

  test("nothing below the lowest trainable: no node reads what only frozen layers need", () => {
    const { graph, x, weights, loss } = layers();
    const before = graph.nodes.length;
    grad(loss, [weights[2]!]);
    const made = graph.nodes.slice(before);
    const read = new Set(made.flatMap(({ inputs }) => inputs));
    assert.ok(!read.has(x) && !read.has(weights[0]!) && !read.has(weights[1]!) && !read.has(weights[2]!));
    // The mask of the last ReLU and one product, beside constants and the stretched seed.
    assert.ok(made.length <= 8, made.map(({ op }) => op.name).join());
  });

  test("no node for a factor that needs no gradient", () => {
    const graph = new Graph();
    const [x, w] = [feed(graph, "x", [3]), feed(graph, "w", [3])];
    const loss = reduceSum(mul(x, w));
    const before = graph.nodes.length;
    const [dw] = grad(loss, [w]);
    // dL/dw = x · (1 stretched to [3]).
    assert.deepEqual(counts(graph, [dw!]), { constant: 1, reshape: 1, expand: 1, mul: 1 });
    assert.equal(graph.nodes.length - before, 4);
  });

  test("nodes of the backward pass say where they come from", () => {
    const graph = new Graph();
    const x = feed(graph, "x", [3]);
    const loss = reduceSum(graph.scope("layer", () => tanh(x)));
    const [dx] = grad(loss, [x]);
    assert.match(dx!.producer!.scope, /^backward\.layer$/);
  });
});

describe("the numbers", () => {
  const gradients = (
    build: (graph: Graph, x: Value, y: Value) => Value,
    x: { shape: readonly number[]; data: readonly number[] },
    y: { shape: readonly number[]; data: readonly number[] },
  ) => {
    const graph = new Graph();
    const [a, b] = [feed(graph, "x", x.shape), feed(graph, "y", y.shape)];
    const [dx, dy] = grad(build(graph, a, b), [a, b]);
    graph.output("dx", dx!);
    graph.output("dy", dy!);
    const { outputs } = interpret(graph, { x: ndarray(x.shape, x.data), y: ndarray(y.shape, y.data) });
    return [outputs["dx"]!, outputs["dy"]!].map(({ shape, data }) => ({ shape, data: [...data] }));
  };

  test("broadcasting is undone, along new axes and stretched ones", () => {
    const x = { shape: [2, 1, 3], data: [1, 2, 3, 4, 5, 6] };
    const y = { shape: [4, 1], data: [1, 10, 100, 1000] };
    const [dx, dy] = gradients((_graph, a, b) => reduceSum(mul(a, b)), x, y);
    assert.deepEqual(dx, { shape: [2, 1, 3], data: Array(6).fill(1111) });
    assert.deepEqual(dy, { shape: [4, 1], data: Array(4).fill(21) });
  });

  test("a scalar beside a matrix gets the sum of all", () => {
    const x = { shape: [2, 3], data: [1, 2, 3, 4, 5, 6] };
    const [, dy] = gradients((_graph, a, b) => reduceSum(mul(a, b)), x, { shape: [], data: [2] });
    assert.deepEqual(dy, { shape: [], data: [21] });
  });

  test("a value used several times gets the sum, also on both sides of one operation", () => {
    const x = { shape: [2], data: [3, 5] };
    const y = { shape: [2], data: [7, 11] };
    // x² y + 2 x: 2 x y + 2, and x².
    const [dx, dy] = gradients((_graph, a, b) => reduceSum(add(mul(mul(a, a), b), add(a, a))), x, y);
    assert.deepEqual(dx!.data, [2 * 3 * 7 + 2, 2 * 5 * 11 + 2]);
    assert.deepEqual(dy!.data, [9, 25]);
  });

  test("an inner value can be asked for, beside the inputs that it is made of", () => {
    const graph = new Graph();
    const x = feed(graph, "x", [2]);
    const y = mul(x, x);
    const loss = reduceSum(mul(y, y));
    const [dx, dy, dLoss] = grad(loss, [x, y, loss]);
    graph.output("dx", dx!);
    graph.output("dy", dy!);
    graph.output("dLoss", dLoss!);
    const { outputs } = interpret(graph, { x: ndarray([2], [2, 3]) });
    assert.deepEqual([...outputs["dy"]!.data], [8, 18]);
    assert.deepEqual([...outputs["dx"]!.data], [32, 108]);
    assert.deepEqual([...outputs["dLoss"]!.data], [1]);
  });

  test("a seed stands for what comes after a value that is no scalar", () => {
    const graph = new Graph();
    const [x, w, seed] = [feed(graph, "x", ["B", 2]), feed(graph, "w", [3, 2]), feed(graph, "seed", ["B", 3])];
    const [dx, dw] = grad(matmul(x, w, { transB: true }), [x, w], seed);
    graph.output("dx", dx!);
    graph.output("dw", dw!);
    assert.equal(printShape(dx!.type.shape), "[B, 2]");
    const { outputs } = interpret(graph, {
      x: ndarray([1, 2], [2, 3]),
      w: ndarray([3, 2], [1, 2, 3, 4, 5, 6]),
      seed: ndarray([1, 3], [1, 10, 100]),
    });
    assert.deepEqual([...outputs["dx"]!.data], [531, 642]);
    assert.deepEqual([...outputs["dw"]!.data], [2, 3, 20, 30, 200, 300]);
  });

  test("a derivative can be differentiated again", () => {
    const graph = new Graph();
    const x = feed(graph, "x", []);
    const [d1] = grad(mul(mul(x, x), x), [x]);
    const [d2] = grad(d1!, [x]);
    graph.output("d1", d1!);
    graph.output("d2", d2!);
    const { outputs } = interpret(graph, { x: ndarray([], [5]) });
    assert.deepEqual([outputs["d1"]!.data[0], outputs["d2"]!.data[0]], [75, 30]);
  });

  test("no derivative flows through comparisons and whole numbers, and it flows past them", () => {
    const x = { shape: [3], data: [-2, 3, 4] };
    const y = { shape: [3], data: [0, 0, 9] };
    const [dx] = gradients((_graph, a, b) => reduceSum(add(mul(cast(greater(a, b), "float32"), a), b)), x, y);
    assert.deepEqual(dx!.data, [0, 1, 0]);
  });
});

describe("what is refused", () => {
  test("a value that is no scalar, without a seed", () => {
    const graph = new Graph();
    const y = tanh(feed(graph, "x", ["B", 3]));
    fails(
      () => grad(y, [graph.inputs[0]!.value]),
      `${y.name}: only a scalar can be differentiated without a seed: got [B, 3]`,
    );
  });

  test("a seed of another shape or type", () => {
    const graph = new Graph();
    const x = feed(graph, "x", ["B", 3]);
    const y = tanh(x);
    const expected = "expected float32[B, 3]";
    const what = `${y.name}: the seed has another type than what is differentiated`;
    fails(() => grad(y, [x], scalar(graph, 1)), `${what}: got float32[], ${expected}`);
    fails(() => grad(y, [x], feed(graph, "s", ["B", 3], "float64")), `${what}: got float64[B, 3], ${expected}`);
  });

  test("a wanted value that the loss does not depend on, or only through what has no slope", () => {
    const graph = new Graph();
    const [x, w] = [feed(graph, "x", [3]), feed(graph, "unused", [3])];
    const hint =
      "hint: a trainable that has no effect would never move: is the layer that it adapts part of the model?";
    fails(() => grad(reduceSum(x), [x, w]), `unused: the loss does not depend on it\n  ${hint}`);
    const flags = reduceSum(cast(greater(x, constant(graph, "float32", [3], [0, 0, 0])), "float32"));
    fails(() => grad(flags, [x]), `x: the loss does not depend on it\n  ${hint}`);
  });

  const secret: Op = {
    name: "secret",
    infer: ([x]) => [x!],
    evaluate: ([x]) => [x!],
    onnx() {},
    vjp: "unsupported",
  };

  test("an operation on the way that has no derivative", () => {
    const graph = new Graph();
    const x = feed(graph, "x", [3]);
    const y = graph.scope("layer", () => apply(secret, [x], {}));
    fails(() => grad(reduceSum(y), [x]), `${y.name}: operation "secret" has no derivative`);
  });

  test("but not one that no wanted value goes through", () => {
    const graph = new Graph();
    const [x, w] = [feed(graph, "x", [3]), feed(graph, "w", [3])];
    assert.equal(grad(reduceSum(mul(apply(secret, [x], {}), w)), [w]).length, 1);
  });
});
