/** Factors of rows are moved from a large matrix to what is made of it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Graph, type Value } from "../../../src/ir/graph.ts";
import { ndarray } from "../../../src/ir/ndarray.ts";
import { exp, matmul, mul } from "../../../src/ir/ops/index.ts";
import { moveRowScales } from "../../../src/ir/passes/move-row-scales.ts";
import { printShape, shapeOf } from "../../../src/ir/shape.ts";
import { interpret } from "../../../src/runtime/interp.ts";
import { assertClose } from "../../support/close.ts";
import { noise } from "../../support/run.ts";

const SHAPES = { x: [5, 40], m: [5, 1], w: [40, 3], h: [5, 3], row: [1, 40], s: [] };
type Inputs = Readonly<Record<keyof typeof SHAPES, Value>>;

/** Shapes of the products by a factor after the pass; the numbers are checked to stay. */
function scaledShapes(build: (inputs: Inputs) => Readonly<Record<string, Value>>): string[] {
  const graph = new Graph();
  const entries = Object.entries(SHAPES);
  const inputs = Object.fromEntries(
    entries.map(([name, shape]) => [name, graph.feed(name, { dtype: "float32", shape: shapeOf(shape) })]),
  ) as Inputs;
  for (const [name, value] of Object.entries(build(inputs))) graph.output(name, value);
  const moved = moveRowScales(graph, {});
  const given = Object.fromEntries(
    entries.map(([name, shape], i) => [name, ndarray(shape, noise(shape, i + 1).data as Float32Array)]),
  );
  const [before, after] = [interpret(graph, given).outputs, interpret(moved, given).outputs];
  for (const name of Object.keys(before))
    assertClose(after[name]!.data, before[name]!.data, { ofLargest: 1e-12 }, name);
  return moved.nodes.filter(({ op }) => op.name === "mul").map(({ outputs }) => printShape(outputs[0]!.type.shape));
}

describe("move row scales", () => {
  test("to the result, whichever side the matrix is on", () => {
    assert.deepEqual(
      scaledShapes(({ x, m, w }) => ({ y: matmul(mul(x, m), w) })),
      ["[5, 3]"],
    );
    assert.deepEqual(
      scaledShapes(({ x, m, w }) => ({ y: matmul(w, mul(m, exp(x)), { transA: true, transB: true }) })),
      ["[3, 5]"],
    );
  });

  test("to the other operand, where the product sums over the rows", () => {
    assert.deepEqual(
      scaledShapes(({ x, m, h }) => ({ y: matmul(mul(x, m), h, { transA: true }) })),
      ["[5, 3]"],
    );
    assert.deepEqual(
      scaledShapes(({ x, m, h }) => ({ y: matmul(h, mul(x, m), { transA: true }) })),
      ["[5, 3]"],
    );
  });

  test("one factor of the whole matrix, to the results", () => {
    const shapes = scaledShapes(({ x, s, w, h }) => {
      const scaled = mul(x, s);
      return { y: matmul(scaled, w), z: matmul(h, scaled, { transA: true }), v: matmul(scaled, h, { transA: true }) };
    });
    // Three small results would be more than the matrix.
    assert.deepEqual(shapes, ["[5, 40]"]);
    assert.deepEqual(
      scaledShapes(({ x, s, w }) => ({ y: matmul(mul(s, x), w) })),
      ["[5, 3]"],
    );
    assert.deepEqual(
      scaledShapes(({ x, s, h }) => ({ y: matmul(h, mul(x, s), { transA: true }) })),
      ["[3, 40]"],
    );
  });

  test("to all of several products", () => {
    const shapes = scaledShapes(({ x, m, w, h }) => {
      const scaled = mul(x, m);
      return { y: matmul(scaled, w), z: matmul(scaled, h, { transA: true }) };
    });
    assert.deepEqual(shapes, ["[5, 3]", "[5, 3]"]);
  });

  test("not where something else reads the matrix, factors are of columns, or nothing is saved", () => {
    const whole = "[5, 40]";
    assert.deepEqual(scaledShapes(({ x, m, w }) => ({ y: matmul(mul(x, m), w), z: exp(mul(x, m)) })).slice(0, 1), [
      "[5, 3]",
    ]);
    assert.deepEqual(
      scaledShapes(({ x, m, w }) => {
        const scaled = mul(x, m);
        return { y: matmul(scaled, w), z: exp(scaled) };
      }),
      [whole],
    );
    assert.deepEqual(
      scaledShapes(({ x, m }) => ({ y: mul(x, m) })),
      [whole],
    );
    assert.deepEqual(
      scaledShapes(({ x, row, w }) => ({ y: matmul(mul(x, row), w) })),
      [whole],
    );
    assert.deepEqual(
      scaledShapes(({ h, m, w }) => ({ y: matmul(mul(h, m), w, { transB: true }) })),
      ["[5, 3]"],
    );
  });
});
