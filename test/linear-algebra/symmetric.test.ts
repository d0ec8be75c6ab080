/** Eigenvalues and vectors of symmetric matrices that are hard in some way: residuals, orthogonality, and one way against the other. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { divideAndConquer } from "../../src/linear-algebra/divide.ts";
import { qlValues } from "../../src/linear-algebra/ql.ts";
import { largestEigen, symmetricEigen } from "../../src/linear-algebra/symmetric.ts";
import { tridiagonal } from "../../src/linear-algebra/tridiagonal.ts";
import { Random } from "../../src/random.ts";
import { orthonormal } from "./orthonormal.ts";

type Element = (i: number, j: number) => number;

/** Of the largest magnitude. */
const ROUNDING = 1e-13;

/** Elements on and below the diagonal; what is above is never read. */
function lower(n: number, element: Element): Float64Array {
  return Float64Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    return j <= i ? element(i, j) : NaN;
  });
}

const MATRICES: Readonly<Record<string, (n: number) => Element>> = {
  random: () => {
    const draw = new Random(1);
    return () => draw.normal();
  },
  identity: () => (i, j) => (i === j ? 3 : 0),
  zero: () => () => 0,
  "of rank 1": () => () => 1,
  "with three values": () => (i, j) => (i === j ? i % 3 : 0),
  // Wilkinson's W⁺: pairs of values that agree to many digits.
  "with pairs": (n) => (i, j) => (i === j ? Math.abs(i - (n >> 1)) : i === j + 1 ? 1 : 0),
  graded: () => (i, j) => Math.exp(-(i + j) / 3),
  "graded the other way": (n) => (i, j) => Math.exp(-(2 * n - i - j) / 3),
  "of rank 3": (n) => {
    const draw = new Random(2);
    const columns = [0, 1, 2].map(() => Float64Array.from({ length: n }, () => draw.normal()));
    return (i, j) => columns.reduce((sum, column) => sum + column[i]! * column[j]!, 0);
  },
};

/** Largest of |G v − λ v|. */
function residual(G: Float64Array, n: number, value: number, vector: Float64Array): number {
  let worst = 0;
  for (let i = 0; i < n; i++) {
    let sum = -value * vector[i]!;
    for (let j = 0; j < n; j++) sum += G[Math.max(i, j) * n + Math.min(i, j)]! * vector[j]!;
    worst = Math.max(worst, Math.abs(sum));
  }
  return worst;
}

for (const [name, elements] of Object.entries(MATRICES)) {
  describe(`a symmetric matrix ${name}`, () => {
    // Around the sizes of blocks and panels: 4, 24, 32, 64.
    for (const n of [1, 2, 3, 5, 24, 25, 33, 66, 131]) {
      it(`of ${n} × ${n}`, () => {
        const G = lower(n, elements(n));
        const { values } = symmetricEigen(G, n);
        const size = Math.max(...values.map(Math.abs)) || 1;
        const trace = Array.from({ length: n }, (_, i) => G[i * n + i]!).reduce((sum, value) => sum + value, 0);
        assert.ok(Math.abs(values.reduce((sum, value) => sum + value, 0) - trace) <= n * ROUNDING * size);
        assert.ok(values.every((value, i) => i === 0 || value <= values[i - 1]!));
        // All by divide and conquer, a few by inverse iteration.
        for (const count of new Set([n, Math.max(1, n >> 3)])) {
          const found = largestEigen(G, n, { count });
          assert.equal(found.vectors.length, count);
          orthonormal(found.vectors, ROUNDING);
          for (const [i, vector] of found.vectors.entries()) {
            const error = residual(G, n, found.values[i]!, vector);
            assert.ok(error <= ROUNDING * size, `vector ${i} of ${count}: ${error}`);
          }
        }
        const few = Math.max(1, n >> 3);
        const rows = symmetricEigen(G, n).smallest(few);
        for (let i = 0; i < few; i++) {
          const error = residual(G, n, values[n - 1 - i]!, rows.slice(i * n, (i + 1) * n));
          assert.ok(error <= ROUNDING * size, `smallest ${i}: ${error}`);
        }
      });
    }
  });
}

it("divide and conquer and QL steps find the same values", () => {
  const n = 150;
  const { diagonal, beside } = tridiagonal(lower(n, MATRICES["random"]!(n)), n);
  const { values, order } = divideAndConquer(diagonal, beside);
  qlValues(diagonal, beside);
  diagonal.sort();
  for (const [k, i] of order.entries()) assert.ok(Math.abs(values[i]! - diagonal[k]!) < 1e-12, `${k}`);
});
