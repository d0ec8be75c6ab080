/** Normalisation layers: the formulas written out, and the names of the parameters. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Graph } from "../../src/ir/graph.ts";
import { ndarray } from "../../src/ir/ndarray.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import { layerNorm, type Norm, rmsNorm } from "../../src/nn/norm.ts";
import { Random } from "../../src/random.ts";
import { interpret } from "../../src/runtime/interp.ts";
import { tracingOf } from "../../src/testing/method-rig.ts";
import { assertClose } from "../support/close.ts";

const X = [
  [0.5, -2, 3],
  [0.001, 0.002, -0.001],
];
const SCALE = [1.5, -0.5, 2];
const SHIFT = [0.25, 0.5, -1];
// Large enough to count beside the second row.
const EPSILON = 1e-5;

function run(norm: Norm): Float64Array {
  const graph = new Graph();
  const x = graph.feed("x", { dtype: "float32", shape: shapeOf([2, 1, 3]) });
  graph.output("y", norm.forward(tracingOf(graph), x));
  return interpret(graph, {
    x: ndarray([2, 1, 3], X.flat()),
    "a.weight": ndarray([3], SCALE),
    "a.bias": ndarray([3], SHIFT),
  }).outputs["y"]!.data;
}

const mean = (row: readonly number[]) => row.reduce((a, b) => a + b) / row.length;

test("rmsNorm: x / √(mean(x²) + ε) · scale", () => {
  const norm = rmsNorm("a", 3, EPSILON);
  assert.deepEqual(
    norm.parameters.map(({ name, shape }) => [name, shape]),
    [["a.weight", [3]]],
  );
  const expected = X.flatMap((row) => {
    const rms = Math.sqrt(mean(row.map((v) => v * v)) + EPSILON);
    return row.map((v, i) => (v / rms) * SCALE[i]!);
  });
  assertClose(run(norm), expected, { absolute: 1e-14 });
});

test("layerNorm: (x - mean) / √(variance + ε) · scale + shift", () => {
  const norm = layerNorm("a", 3, EPSILON);
  assert.deepEqual(
    norm.parameters.map(({ name, shape }) => [name, shape]),
    [
      ["a.weight", [3]],
      ["a.bias", [3]],
    ],
  );
  const expected = X.flatMap((row) => {
    const deviations = row.map((v) => v - mean(row));
    const scale = Math.sqrt(mean(deviations.map((v) => v * v)) + EPSILON);
    return deviations.map((v, i) => (v / scale) * SCALE[i]! + SHIFT[i]!);
  });
  assertClose(run(norm), expected, { absolute: 1e-14 });
});

test("norms start as the identity", () => {
  const starts = layerNorm("a", 3, EPSILON).parameters.map(({ init }) => [...init(new Random(1), 3)]);
  assert.deepEqual(starts, [
    [1, 1, 1],
    [0, 0, 0],
  ]);
});
