import assert from "node:assert/strict";
import { test } from "node:test";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { ndarray, type NdArray } from "../../src/ir/ndarray.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import { int8 } from "../../src/quant/int8.ts";
import { interpret } from "../../src/runtime/interp.ts";
import { random, randomNumbers } from "../../src/testing/tensors.ts";

const OPTIONS = { doubleQuantization: false };
const SHAPE = [12, 50] as const;
const VALUES = Float32Array.from(random(SHAPE)(randomNumbers(3)).values);
const [OUT, IN] = SHAPE;

/** What a graph makes of the weight, in float64. */
function compute(
  build: (stored: ReturnType<typeof int8.read>, graph: Graph) => Value,
  feeds: Record<string, [number[], ArrayLike<number>]>,
) {
  const graph = new Graph();
  const tensors = int8.tensors(SHAPE, OPTIONS);
  const contents = int8.encode(VALUES, SHAPE, OPTIONS);
  const tensor = (name: string) => {
    const { dtype, shape } = tensors.find((each) => each.name === name)!;
    return graph.state(name, { dtype, shape: shapeOf(shape) });
  };
  graph.output("y", build(int8.read({ graph, shape: SHAPE, options: OPTIONS, tensor }), graph));
  const arrays = Object.fromEntries<NdArray>([
    ...tensors.map(({ name, shape }): [string, NdArray] => [
      name,
      ndarray(shape, Float64Array.from(contents[name] as Int8Array)),
    ]),
    ...Object.entries(feeds).map(([name, [shape, data]]): [string, NdArray] => [
      name,
      ndarray(shape, Float64Array.from(data)),
    ]),
  ]);
  return interpret(graph, arrays).outputs["y"]!.data;
}

const error = (got: ArrayLike<number>, want: ArrayLike<number>) =>
  Math.hypot(...Array.from(got, (value, i) => value - want[i]!)) / Math.hypot(...Array.from(want));

test("every weight is within half a step of its row, and the largest of a row is kept", () => {
  const tensors = int8.encode(VALUES, SHAPE, OPTIONS);
  const decoded = int8.decode(tensors, SHAPE, OPTIONS);
  for (let row = 0; row < OUT; row++) {
    const of = (values: Float32Array) => values.subarray(row * IN, (row + 1) * IN);
    const largest = Math.max(...of(VALUES).map(Math.abs));
    assert.ok(Math.abs(Number(tensors["scales"]![row]) * 127 - largest) < 1e-6);
    of(decoded).forEach((value, i) => assert.ok(Math.abs(value - of(VALUES)[i]!) <= (largest / 127) * 0.5001));
    assert.ok(Math.abs(Math.max(...of(decoded).map(Math.abs)) - largest) < 1e-6);
  }
});

test("a row of zeros, and one of numbers too small for a step, are zeros", () => {
  const values = Float32Array.of(0, 0, 1e-45, -1e-45, 2, -1);
  const tensors = int8.encode(values, [3, 2], OPTIONS);
  assert.deepEqual(
    [...int8.decode(tensors, [3, 2], OPTIONS)].map((value) => Number(value.toFixed(2))),
    [0, 0, 0, 0, 2, -1.01],
  );
});

test("codes take one byte each, and a factor for every row", () => {
  const tensors = int8.tensors([5, 3], OPTIONS);
  assert.deepEqual(tensors, [
    { name: "codes", dtype: "int8", shape: [5, 3] },
    { name: "scales", dtype: "float32", shape: [5] },
  ]);
});

test("a graph reads the values that decode gives", () => {
  const decoded = int8.decode(int8.encode(VALUES, SHAPE, OPTIONS), SHAPE, OPTIONS);
  const got = compute((stored) => stored.value(), {});
  got.forEach((value, i) => assert.ok(Math.abs(value - decoded[i]!) < 1e-6));
  const tokens = [7, 0, 7];
  const rows = compute((stored, graph) => stored.rows(graph.feed("tokens", { dtype: "int32", shape: shapeOf([3]) })), {
    tokens: [[3], tokens],
  });
  tokens.forEach((token, i) => {
    for (let k = 0; k < IN; k++) assert.ok(Math.abs(rows[i * IN + k]! - decoded[token * IN + k]!) < 1e-6);
  });
});

for (const fanInFanOut of [false, true]) {
  test(`products are those of the decoded weight but for the rows' rounding, W ${fanInFanOut ? "[in, out]" : "[out, in]"}`, () => {
    const decoded = int8.decode(int8.encode(VALUES, SHAPE, OPTIONS), SHAPE, OPTIONS);
    const [inner, columns] = fanInFanOut ? [OUT, IN] : [IN, OUT];
    const M = 9;
    const x = random([M, inner])(randomNumbers(11)).values;
    const want = new Float64Array(M * columns);
    want.forEach((_, i) => {
      const [m, n] = [Math.floor(i / columns), i % columns];
      for (let k = 0; k < inner; k++) want[i]! += x[m * inner + k]! * decoded[fanInFanOut ? k * IN + n : n * IN + k]!;
    });
    const got = compute(
      (stored, graph) =>
        stored.multiply(graph.feed("x", { dtype: "float32", shape: shapeOf([M, inner]) }), fanInFanOut),
      { x: [[M, inner], x] },
    );
    // Uniform numbers in 127 steps to each side: 1 / (127 · 2 / √3 · √3) of their size.
    assert.ok(error(got, want) < 0.008, String(error(got, want)));
    assert.ok(error(got, want) > 1e-5, "rows were not rounded");
  });
}
