/** Embeddings: the rows, the layer that adapters see, and the hook that may replace its output. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { grad } from "../../src/ir/grad.ts";
import { Graph } from "../../src/ir/graph.ts";
import { ndarray } from "../../src/ir/ndarray.ts";
import { affine } from "../../src/ir/ops/affine.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { reduceSum } from "../../src/ir/ops/reduce-sum.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import { embedding } from "../../src/nn/embedding.ts";
import type { LayerCall } from "../../src/nn/module.ts";
import { Random } from "../../src/random.ts";
import { interpret } from "../../src/runtime/interp.ts";
import { tracingOf } from "../../src/testing/method-rig.ts";

const TABLE = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
const inputs = { tokens: ndarray([2, 3], [4, 0, 1, 1, 1, 3]), "e.weight": ndarray([5, 2], TABLE) };

function traced() {
  const graph = new Graph();
  return { graph, tokens: graph.feed("tokens", { dtype: "int32", shape: shapeOf([2, 3]) }) };
}

test("every token gets its row, and the row gets the sum of its tokens' derivatives", () => {
  const { graph, tokens } = traced();
  const tracing = tracingOf(graph);
  const y = embedding("e", 5, 2).forward(tracing, tokens);
  graph.output("y", y);
  const [dTable] = grad(reduceSum(mul(y, y)), [tracing.parameter("e.weight", [5, 2])]);
  graph.output("dTable", dTable!);
  const { outputs } = interpret(graph, inputs);
  assert.deepEqual(outputs["y"]!.shape, [2, 3, 2]);
  assert.deepEqual([...outputs["y"]!.data], [9, 10, 1, 2, 3, 4, 3, 4, 3, 4, 7, 8]);
  assert.deepEqual([...outputs["dTable"]!.data], [2, 4, 18, 24, 0, 0, 14, 16, 18, 20]);
});

test("adapters see tokens and table, and replace the output", () => {
  const table = embedding("e", 5, 2);
  assert.deepEqual(table.layer, { kind: "embedding", name: "e", weight: "e.weight", inFeatures: 5, outFeatures: 2 });
  const { graph, tokens } = traced();
  const calls: LayerCall[] = [];
  const adapt = (call: LayerCall) => {
    calls.push(call);
    return affine(call.output(), 10);
  };
  graph.output("y", table.forward({ ...tracingOf(graph), adapt }, tokens));
  assert.equal(calls[0]!.layer, table.layer);
  assert.equal(calls[0]!.x, tokens);
  assert.deepEqual([...interpret(graph, inputs).outputs["y"]!.data], [90, 100, 10, 20, 30, 40, 30, 40, 30, 40, 70, 80]);
});

test("starts as N(0, std²)", () => {
  const [spec] = embedding("e", 500, 20, 0.5).parameters;
  const values = spec!.init(new Random(3), 10_000);
  const variance = values.reduce((sum, v) => sum + v * v, 0) / values.length;
  // The standard error of the variance of 10000 draws is 1.4 %.
  assert.ok(Math.abs(variance / 0.25 - 1) < 0.07, `${variance}`);
});
