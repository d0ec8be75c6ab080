/** Singular values against LAPACK's (golden/make/linear_algebra.py), and of matrices whose values are known. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { type Columns, dot } from "../../src/linear-algebra/columns.ts";
import {
  leadingQr,
  type Matrix,
  randomizedSvd,
  rowNorms,
  singularValues,
  type Svd,
  svd,
  transposed,
} from "../../src/linear-algebra/svd.ts";
import { Random } from "../../src/random.ts";

interface Golden {
  readonly rows: number;
  readonly columns: number;
  readonly data: readonly number[];
  readonly singular_values: readonly number[];
  readonly best: Readonly<Record<string, readonly number[]>>;
  readonly qr: readonly number[];
}

const GOLDEN = JSON.parse(
  readFileSync(new URL("../../../golden/linear-algebra/svd.json", import.meta.url), "utf8"),
) as Record<string, Golden>;

/** Of the largest singular value: squares of values are computed to 1e-15 of the largest one. */
const ROUNDING = 1e-12;

function matrixOf({ rows, columns, data }: Golden): Matrix {
  return { rows, columns, data: Float64Array.from(data) };
}

/** Σ weightᵢ leftᵢ rightᵢᵀ, row-major. */
function product(left: Columns, right: Columns, weights?: Float64Array): Float64Array {
  const [rows, columns] = [left[0]!.length, right[0]!.length];
  const sum = new Float64Array(rows * columns);
  for (const [k, u] of left.entries()) {
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) sum[i * columns + j]! += (weights?.[k] ?? 1) * u[i]! * right[k]![j]!;
    }
  }
  return sum;
}

function close(got: ArrayLike<number>, want: ArrayLike<number>, tolerance: number): void {
  assert.equal(got.length, want.length);
  const error = Math.max(...Array.from(got, (value, i) => Math.abs(value - want[i]!)));
  assert.ok(error <= tolerance, `they differ by ${error}`);
}

function orthonormal(columns: Columns, tolerance: number): void {
  for (const [i, x] of columns.entries()) {
    for (let j = 0; j <= i; j++) {
      const error = Math.abs(dot(x, columns[j]!) - (i === j ? 1 : 0));
      assert.ok(error <= tolerance, `columns ${i}, ${j}: ${error}`);
    }
  }
}

function random(rows: number, columns: number, seed: number): Matrix {
  const draw = new Random(seed);
  return { rows, columns, data: Float32Array.from({ length: rows * columns }, () => draw.normal()) };
}

for (const [name, golden] of Object.entries(GOLDEN)) {
  describe(name, () => {
    const matrix = matrixOf(golden);
    const [largest] = golden.singular_values as [number];
    it("has LAPACK's singular values", () => {
      const { values, left, right } = svd(matrix);
      for (const [i, want] of golden.singular_values.entries()) {
        // What is below 1e-7 of the largest is rounding, here and there.
        const tolerance = want < 1e-7 * largest ? 1e-7 * largest : (ROUNDING * largest * largest) / want;
        assert.ok(Math.abs(values[i]! - want) <= tolerance, `σ${i}: ${values[i]} and not ${want}`);
      }
      close(singularValues(matrix), golden.singular_values, 1e-7 * largest);
      const there = values.filter((value) => value > 1e-6 * largest).length;
      for (const vectors of [left, right]) orthonormal(vectors.slice(0, there), 1e-8);
      close(product(left, right, values), matrix.data, 1e-7 * largest);
    });
    for (const [rank, best] of Object.entries(golden.best)) {
      it(`has the best approximation of rank ${rank}`, () => {
        const { values, left, right } = svd(matrix, Number(rank));
        assert.equal(values.length, Number(rank));
        close(product(left, right, values), best, ROUNDING * 10 * largest);
      });
    }
    it("finds the same from a random start, with enough steps", () => {
      const [rank, best] = Object.entries(golden.best).at(-1)!;
      const error = (iterations: number) => {
        const found: Svd = randomizedSvd(matrix, Number(rank), iterations, new Random(1));
        const sum = product(found.left, found.right, found.values);
        return Math.max(...sum.map((value, i) => Math.abs(value - best[i]!)));
      };
      assert.ok(error(200) <= 1e-6 * largest, `${error(200)}`);
      if (golden.singular_values[Number(rank)]! > 1e-6) assert.ok(error(0) > 1e-3 * largest, "one step is enough");
    });
    it("has LAPACK's first columns of Q times the first rows of R", () => {
      const { Q, R } = leadingQr(matrix, 3);
      close(product(Q, R), golden.qr, ROUNDING * largest);
    });
  });
}

it("finds many vectors of a larger matrix", () => {
  // Odd sizes: rows and columns that do not fill a tile.
  const matrix = random(203, 131, 2);
  const { values, left, right } = svd(matrix, 60);
  orthonormal(left, 1e-11);
  orthonormal(right, 1e-11);
  const turned = { rows: 131, columns: 203, data: transposed(matrix) };
  for (const [i, u] of left.entries()) {
    const column = Float64Array.from({ length: 131 }, (_, j) => dot(turned.data.subarray(j * 203, (j + 1) * 203), u));
    close(
      column,
      right[i]!.map((value) => value * values[i]!),
      1e-11 * values[0]!,
    );
  }
  const all = singularValues(turned);
  close(all.slice(0, 60), values, 1e-11 * values[0]!);
  // ‖W‖² is the sum of the squares.
  const square = Array.from(matrix.data).reduce((sum, value) => sum + value * value, 0);
  assert.ok(Math.abs(all.reduce((sum, value) => sum + value * value, 0) / square - 1) < 1e-12);
});

it("knows matrices of zeros, of one row and of equal values", () => {
  const zero = svd({ rows: 3, columns: 4, data: new Float32Array(12) }, 2);
  assert.deepEqual([...zero.values], [0, 0]);
  assert.ok([...zero.left, ...zero.right].every((vector) => vector.every((value) => value === 0)));
  const row = svd({ rows: 1, columns: 3, data: Float64Array.of(2, -1, 2) });
  assert.ok(Math.abs(row.values[0]! - 3) < 1e-15);
  close(product(row.left, row.right, row.values), [2, -1, 2], 1e-15);
  const equal = svd({ rows: 4, columns: 4, data: Float64Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 3 : 0)) });
  close(equal.values, [3, 3, 3, 3], 1e-14);
  orthonormal(equal.left, 1e-12);
});

it("has norms of rows", () => {
  close(rowNorms({ rows: 2, columns: 2, data: Float32Array.of(3, 4, 0, -2) }), [5, 2], 0);
});
