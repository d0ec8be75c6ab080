import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { grad } from "../../../src/ir/grad.ts";
import { Graph } from "../../../src/ir/graph.ts";
import { ndarray } from "../../../src/ir/ndarray.ts";
import { integerMatmul, type IntegerMatmulOptions, integerMatmulOp } from "../../../src/ir/ops/integer-matmul.ts";
import { constant } from "../../../src/ir/ops/constant.ts";
import { NARROW_LEVELS, narrowRows } from "../../../src/ir/passes/narrow-rows.ts";
import { dim, shapeOf } from "../../../src/ir/shape.ts";
import { interpret } from "../../../src/runtime/interp.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, randomNumbers, tensor } from "../../../src/testing/tensors.ts";

const weight = (shape: readonly number[]) => integers(shape, -127, 127, "int8");
/** Those with which every engine is exact. */
const levels = NARROW_LEVELS;
const factors = (graph: Graph) => constant(graph, "float32", [5], [0.5, 10, 1, 3, 0.25]);

describeOp(integerMatmulOp, [
  {
    name: "x Wᵀ with factors, by hand",
    // Steps of 1 and of 2.
    inputs: [tensor("float32", [2, 3], [64, 1, -2, 128, -4, 0]), tensor("int8", [2, 3], [1, 2, 3, -1, 0, 5])],
    build: ([x, W], graph) =>
      integerMatmul(x!, W!, { transB: true, factors: constant(graph, "float32", [2], [0.5, 10]), levels }),
    smooth: false,
    symbolic: false,
    expected: [30, -740, 60, -1280],
  },
  {
    name: "x W without factors, by hand",
    inputs: [tensor("float32", [1, 2], [64, -3]), tensor("int8", [2, 3], [1, 2, 3, -1, 0, 5])],
    build: ([x, W]) => integerMatmul(x!, W!, { transB: false, levels }),
    smooth: false,
    expected: [67, 128, 177],
  },
  {
    inputs: [random([7, 12]), weight([5, 12])],
    symbolic: 7,
    smooth: false,
    build: ([x, W], graph) => integerMatmul(x!, W!, { transB: true, factors: factors(graph), levels }),
  },
  {
    inputs: [random([6, 9]), weight([9, 4])],
    symbolic: 6,
    smooth: false,
    build: ([x, W]) => integerMatmul(x!, W!, { transB: false, levels }),
  },
  {
    name: "one row",
    inputs: [random([1, 40]), weight([5, 40])],
    smooth: false,
    build: ([x, W], graph) => integerMatmul(x!, W!, { transB: true, factors: factors(graph), levels }),
  },
  {
    name: "in two terms",
    inputs: [random([6, 9]), weight([9, 4])],
    symbolic: 6,
    smooth: false,
    // The second term is quantised from a difference that the engine rounds.
    tolerance: { ofLargest: 1e-4 },
    build: ([x, W]) => integerMatmul(x!, W!, { transB: false, terms: 2, levels }),
  },
  {
    inputs: [random([6, 9]), weight([8, 4])],
    build: ([x, W]) => integerMatmul(x!, W!, { transB: false, levels }),
    throws:
      "integerMatmul: these cannot be multiplied: got [6, 9], [6, 9], [6, 1], [8, 4], expected [M, K], [M, K], [M, 1], [K, N], [N]",
  },
  {
    inputs: [random([6, 9]), random([9, 4])],
    build: ([x, W]) => integerMatmul(x!, W!, { transB: false, levels }),
    throws: "integerMatmul: wrong types: got float32,uint8,float32,float32, expected float32,uint8,float32,int8",
  },
]);

describe("the derivative of integerMatmul", () => {
  const [M, K, N] = [6, 40, 24];
  const next = randomNumbers(7);
  const x = random([M, K])(next).values;
  const dy = random([M, N])(next).values;
  const W = integers([N, K], -127, 127, "int8")(next).values;
  const s = random([N], 0.2, 3)(next).values;

  /** dx of Σ dy · y in float64. */
  function derivative(
    options: Omit<IntegerMatmulOptions, "transB">,
    { given = dy, narrow = false } = {},
  ): Float64Array {
    const graph = new Graph();
    const feed = (name: string, dtype: "float32" | "int8", shape: readonly number[]) =>
      graph.feed(name, { dtype, shape: shapeOf(shape) });
    const input = feed("x", "float32", [M, K]);
    const y = integerMatmul(input, feed("W", "int8", [N, K]), {
      ...options,
      transB: true,
      factors: feed("s", "float32", [N]),
    });
    const [dx] = grad(y, [input], graph.feed("dy", { dtype: "float32", shape: [dim(M), dim(N)] }));
    graph.output("dx", dx!);
    const arrays = { x: ndarray([M, K], x), W: ndarray([N, K], W), s: ndarray([N], s), dy: ndarray([M, N], given) };
    return Float64Array.from(interpret(narrow ? narrowRows(graph) : graph, arrays).outputs["dx"]!.data);
  }

  /** (dY ∘ s) W, with the rows of dY ∘ s in `levels` steps, written out. */
  function byHand(levels: number, given = dy): { exact: Float64Array; quantised: Float64Array } {
    const [exact, quantised] = [new Float64Array(M * K), new Float64Array(M * K)];
    for (let m = 0; m < M; m++) {
      const row = Array.from({ length: N }, (_, n) => given[m * N + n]! * s[n]!);
      const step = Math.max(...row.map(Math.abs)) / levels;
      row.forEach((value, n) => {
        for (let k = 0; k < K; k++) {
          exact[m * K + k]! += value * W[n * K + k]!;
          quantised[m * K + k]! += Math.round(value / step) * step * W[n * K + k]!;
        }
      });
    }
    return { exact, quantised };
  }

  const error = (got: Float64Array, want: Float64Array) =>
    Math.hypot(...got.map((value, i) => value - want[i]!)) / Math.hypot(...want);

  it("multiplies the quantised rows of dY ∘ s by W as it lies", () => {
    for (const narrow of [false, true]) {
      const { exact, quantised } = byHand(narrow ? NARROW_LEVELS : 127);
      const dx = derivative({}, { narrow });
      // Rows are rounded by float32 scales.
      assert.ok(error(dx, quantised) < 1e-6, String(error(dx, quantised)));
      // A row of 24 uniform numbers in 63 steps to each side: 1 / (63 √3) of its size.
      assert.ok(error(dx, exact) < (narrow ? 0.012 : 0.006), String(error(dx, exact)));
    }
  });

  it("in two terms keeps small elements beside a large one", () => {
    const peaked = dy.map((value, i) => (i % N === 3 ? -1 : value / 1000));
    const { exact } = byHand(127, peaked);
    const tail = (dx: Float64Array) => dx.map((value, i) => value + s[3]! * W[3 * K + (i % K)]!);
    const one = error(tail(derivative({}, { given: peaked })), tail(exact));
    const two = error(tail(derivative({ derivativeTerms: 2 }, { given: peaked })), tail(exact));
    assert.ok(one > 0.5, `one term keeps them already: ${one}`);
    assert.ok(two < 0.02, String(two));
  });
});
