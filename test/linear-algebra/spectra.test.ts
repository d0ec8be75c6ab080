/** Singular values and subspaces against LAPACK's (golden/make/spectra.py); never vectors, whose signs and turns are free. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { type Columns, dot } from "../../src/linear-algebra/columns.ts";
import { type Matrix, singularValues, svd, transposed, truncatedSvd } from "../../src/linear-algebra/svd.ts";
import { orthonormal } from "./orthonormal.ts";

interface Golden {
  readonly rows: number;
  readonly columns: number;
  readonly seed?: number;
  readonly data?: string;
  readonly singular_values: readonly number[];
  readonly left: Readonly<Record<string, readonly number[]>>;
  readonly right: Readonly<Record<string, readonly number[]>>;
}

const GOLDEN = JSON.parse(
  readFileSync(new URL("../../../golden/linear-algebra/spectra.json", import.meta.url), "utf8"),
) as Record<string, Golden>;

/** Of a value: what this package promises where a value is above a part of the largest one. */
const RELATIVE = 1e-8;
const RELATIVE_ABOVE = 1e-6;
/** Of the largest value, for all of them. LAPACK itself has errors of this size. */
const ABSOLUTE = 1e-14;
/** Of unit vectors' projections: gaps are some hundredths of the values around them. */
const SUBSPACE = 1e-7;

function congruential(count: number, seed: number): Float64Array {
  let x = seed;
  return Float64Array.from({ length: count }, () => {
    x = (Math.imul(1664525, x) + 1013904223) >>> 0;
    return (x >>> 8) / 2 ** 24 - 0.5;
  });
}

function matrixOf({ rows, columns, seed, data }: Golden): Matrix {
  if (data === undefined) return { rows, columns, data: congruential(rows * columns, seed!) };
  return { rows, columns, data: new Float64Array(Uint8Array.from(Buffer.from(data, "base64")).buffer) };
}

/** The test vectors on the subspace of these. */
function projections(basis: Columns): number[] {
  const { length } = basis[0]!;
  const probes = congruential(2 * length, 7);
  return [probes.subarray(0, length), probes.subarray(length)].flatMap((probe) => {
    const sum = new Float64Array(length);
    for (const vector of basis) {
      const along = dot(vector, probe);
      for (let i = 0; i < length; i++) sum[i]! += along * vector[i]!;
    }
    return [...sum];
  });
}

function sameSubspaces(found: Columns, golden: Readonly<Record<string, readonly number[]>>, upTo: number): void {
  for (const [rank, want] of Object.entries(golden)) {
    if (Number(rank) > upTo) continue;
    const got = projections(found.slice(0, Number(rank)));
    const error = Math.max(...got.map((value, i) => Math.abs(value - want[i]!)));
    assert.ok(error <= SUBSPACE, `the first ${rank}: ${error}`);
  }
}

function sameValues(found: Float64Array, want: readonly number[]): void {
  assert.equal(found.length, want.length);
  const largest = want[0]!;
  for (const [i, value] of want.entries()) {
    const error = Math.abs(found[i]! - value);
    const allowed = Math.max(ABSOLUTE * largest, value > RELATIVE_ABOVE * largest ? RELATIVE * value : 0);
    assert.ok(error <= allowed, `σ${i + 1}: ${found[i]} and not ${value}`);
    assert.ok(i === 0 || found[i]! <= found[i - 1]!, "not in descending order");
  }
}

for (const [name, golden] of Object.entries(GOLDEN)) {
  describe(name, () => {
    const matrix = matrixOf(golden);
    const turned: Matrix = { rows: matrix.columns, columns: matrix.rows, data: transposed(matrix) };
    const [largest] = golden.singular_values as [number];

    it("has LAPACK's singular values, alone and with vectors", () => {
      sameValues(singularValues(matrix), golden.singular_values);
      sameValues(singularValues(turned), golden.singular_values);
      sameValues(svd(matrix).values, golden.singular_values);
    });

    it("has LAPACK's subspaces on both sides, lying and standing", () => {
      for (const [found, left, right] of [
        [svd(matrix), golden.left, golden.right],
        [svd(turned), golden.right, golden.left],
      ] as const) {
        sameSubspaces(found.left, left, Infinity);
        sameSubspaces(found.right, right, Infinity);
        const there = found.values.filter((value) => value > 0).length;
        for (const vectors of [found.left, found.right]) {
          orthonormal(vectors.slice(0, there), 1e-7);
          assert.ok(vectors.slice(there).every((vector) => vector.every((value) => value === 0)));
        }
      }
    });

    it("is the sum of its parts, to rounding", () => {
      const { values, left, right } = svd(matrix);
      let worst = 0;
      for (let i = 0; i < matrix.rows; i++) {
        for (let j = 0; j < matrix.columns; j++) {
          let sum = -matrix.data[i * matrix.columns + j]!;
          for (const [k, value] of values.entries()) sum += value * left[k]![i]! * right[k]![j]!;
          worst = Math.max(worst, Math.abs(sum));
        }
      }
      assert.ok(worst <= 1e-10 * largest, `${worst / largest}`);
    });

    it("has the same beginning when only that is asked for", () => {
      for (const rank of [1, 2, 7]) {
        const { values, left, right } = svd(matrix, rank);
        const count = Math.min(rank, golden.singular_values.length);
        assert.deepEqual([left.length, right.length], [count, count]);
        sameValues(values, golden.singular_values.slice(0, count));
        sameSubspaces(left, golden.left, count);
        sameSubspaces(right, golden.right, count);
      }
    });

    it("approximates the largest from a random start", () => {
      const rank = Number(Object.keys(golden.left)[0]!);
      const { values, left, right } = truncatedSvd(matrix, rank, { iterations: 60 });
      sameValues(values, golden.singular_values.slice(0, rank));
      sameSubspaces(left, golden.left, rank);
      sameSubspaces(right, golden.right, rank);
    });
  });
}

it("takes a few small values again, with and without their vectors", () => {
  // Columns of a diagonal matrix, turned by a reflection: values are known, and all but a few are large.
  for (const [m, n] of [
    [140, 120],
    [120, 140],
  ] as const) {
    const k = Math.min(m, n);
    const want = Array.from({ length: k }, (_, i) => (i < k - 4 ? 2 - i / k : [1e-4, 9e-5, 3e-5, 2e-6][i - k + 4]!));
    const u = congruential(m, 5);
    const square = 2 / dot(u, u);
    // (1 − 2 u uᵀ / ‖u‖²) D
    const data = Float64Array.from({ length: m * n }, (_, at) => {
      const [i, j] = [Math.floor(at / n), at % n];
      return j < k ? ((i === j ? 1 : 0) - square * u[i]! * u[j]!) * want[j]! : 0;
    });
    const matrix: Matrix = { rows: m, columns: n, data };
    for (const found of [singularValues(matrix), svd(matrix).values]) sameValues(found, want);
    // Where more is lost, the way is another one.
    const scale = (at: number): number => (at % n >= k - 2 && at % n < k ? 1e-7 : 1);
    const smaller = { ...matrix, data: data.map((value, at) => value * scale(at)) };
    const less = want.map((value, i) => (i >= k - 2 ? 1e-7 * value : value));
    for (const found of [singularValues(smaller), svd(smaller).values]) sameValues(found, less);
  }
});

it("approximates values that fall slowly, and better than without its iterations and its oversampling", () => {
  // σᵢ = 1 / i, between reflections of both sides.
  const [m, n, k] = [170, 150, 8];
  const [u, v] = [congruential(m, 8), congruential(n, 9)];
  const reflected = (x: Float64Array, i: number, j: number) => (i === j ? 1 : 0) - (2 / dot(x, x)) * x[i]! * x[j]!;
  const data = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      for (let l = 0; l < n; l++) data[i * n + j]! += (reflected(u, i, l) * reflected(v, l, j)) / (l + 1);
    }
  }
  const matrix: Matrix = { rows: m, columns: n, data };
  const exact = svd(matrix, k);
  const error = (options?: Parameters<typeof truncatedSvd>[2]): number => {
    const { values, left, right } = truncatedSvd(matrix, k, options);
    assert.deepEqual([values.length, left.length, right.length], [k, k, k]);
    return Math.max(...values.map((value, i) => Math.abs(value - exact.values[i]!) / exact.values[i]!));
  };
  assert.ok(Math.abs(exact.values[k - 1]! - 1 / k) < 1e-13);
  assert.ok(error() < 1e-4, `${error()}`);
  assert.ok(error({ iterations: 0 }) > 1e-2, `${error({ iterations: 0 })}`);
  assert.ok(error({ oversampling: 0 }) > 1e-3, `${error({ oversampling: 0 })}`);
  const first = projections(truncatedSvd(matrix, k).left.slice(0, 3));
  for (const [i, value] of projections(exact.left.slice(0, 3)).entries()) assert.ok(Math.abs(first[i]! - value) < 1e-4);
});
