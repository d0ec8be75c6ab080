/**
 * Singular values of a dense matrix W [rows, columns], row-major: W = Σ σᵢ uᵢ vᵢᵀ.
 *
 * {@link svd} goes through the eigenvalues of the smaller of W Wᵀ and Wᵀ W, in float64: n² m operations with n the smaller and m the
 * larger side, 4/3 n³ for the values, and at most 10/3 n³ + 2 n² m for all vectors. Squaring loses digits: a value σ has an error of
 * 1e-15 σ₁² / σ. So what is below 1/4096 of σ₁ is taken again: W times the vectors that are left, without what the larger ones say,
 * is decomposed by itself, as often as it takes. Values are right to about 1e-14 σ₁, like those of LAPACK (alone, without vectors, to
 * 1e-11 σ₁), and to 1e-8 of themselves where they are above 1e-6 σ₁; what is below rounding is 0. A matrix with many small values
 * takes twice as long.
 *
 * {@link truncatedSvd} and {@link randomizedSvd} take 4 (iterations + 1) rank · rows · columns: subspace iteration from a random start
 * (Halko, Martinsson and Tropp 2011, algorithm 4.4).
 */
import { NumericError } from "../errors.ts";
import { Random } from "../random.ts";
import { type Columns, norm, qr } from "./columns.ts";
import { decompose, type Triplets } from "./gram-svd.ts";
import type { Matrix } from "./matrix.ts";
import { combinations, rowsOf, timesEach, turned, viewOf } from "./product.ts";

export type { Matrix } from "./matrix.ts";

export interface Svd {
  /** In descending order. */
  readonly values: Float64Array;
  /** uᵢ, [rows] each; zero where σᵢ is. */
  readonly left: Columns;
  /** vᵢ, [columns] each; zero where σᵢ is. */
  readonly right: Columns;
}

/**
 * The largest singular values and their vectors.
 * @param rank how many; default: all
 * @throws NumericError if a number is not finite
 */
export function svd(matrix: Matrix, rank = Infinity): Svd {
  const { values, small, large } = decomposed(matrix, rank, true);
  return matrix.rows < matrix.columns ? { values, left: small, right: large } : { values, left: large, right: small };
}

/** All singular values, in descending order. @throws NumericError if a number is not finite */
export function singularValues(matrix: Matrix): Float64Array {
  return decomposed(matrix, Infinity, false).values;
}

function decomposed(given: Matrix, rank: number, withVectors: boolean): Triplets {
  const { matrix, factor } = inRange(given);
  const view = viewOf(matrix);
  const isWide = matrix.rows < matrix.columns;
  const found = decompose(isWide ? turned(view) : view, { count: rank, withVectors });
  return { ...found, values: found.values.map((value) => value / factor) };
}

/** Magnitudes whose fourth powers float64 can hold. */
const [SMALLEST, LARGEST] = [1e-30, 1e30];

/** The matrix times a power of two, 1 for almost all. @throws NumericError if a number is not finite */
function inRange(matrix: Matrix): { readonly matrix: Matrix; readonly factor: number } {
  const { rows, columns, data } = matrix;
  let largest = 0;
  for (let i = 0; i < data.length; i++) {
    const size = Math.abs(data[i]!);
    if (!(size < Infinity)) {
      throw new NumericError({
        where: `row ${Math.floor(i / columns)}, column ${i % columns} of a matrix of ${rows} × ${columns}`,
        what: "a number that is not finite has no singular values",
        got: data[i],
      });
    }
    if (size > largest) largest = size;
  }
  if (largest === 0 || (largest >= SMALLEST && largest <= LARGEST)) return { matrix, factor: 1 };
  const factor = 2 ** Math.max(-1000, Math.min(1000, -Math.round(Math.log2(largest))));
  return { matrix: { rows, columns, data: Float64Array.from(data, (value) => value * factor) }, factor };
}

export interface TruncatedOptions {
  /** Random directions beyond those that are wanted. Default: 10. */
  readonly oversampling?: number;
  /** Power iterations: each multiplies what is left of smaller values by (σ / σₖ)². Default: 4. */
  readonly iterations?: number;
  /** Default: 0. */
  readonly seed?: number;
}

/**
 * The k largest singular values and their vectors of a large matrix, approximately: how well depends on how fast the values fall.
 * Where k is a good part of all, the exact ones.
 * @throws NumericError if a number is not finite
 */
export function truncatedSvd(
  matrix: Matrix,
  k: number,
  { oversampling = 10, iterations = 4, seed = 0 }: TruncatedOptions = {},
): Svd {
  const width = k + oversampling;
  if (2 * width >= Math.min(matrix.rows, matrix.columns)) return svd(matrix, k);
  const { matrix: W, factor } = inRange(matrix);
  const { values, left, right } = randomizedSvd(W, width, iterations, new Random(seed));
  return {
    values: values.slice(0, k).map((value) => value / factor),
    left: left.slice(0, k),
    right: right.slice(0, k),
  };
}

/**
 * Approximates the largest singular values and their vectors from a start that is as wide as the rank, as torch.svd_lowrank does.
 * @param iterations steps of the subspace iteration, from 0
 */
export function randomizedSvd(matrix: Matrix, rank: number, iterations: number, random: Random): Svd {
  const width = Math.min(rank, matrix.rows, matrix.columns);
  const W = viewOf(matrix);
  const start = Array.from({ length: width }, () =>
    Float64Array.from({ length: matrix.columns }, () => random.normal()),
  );
  let { Q } = qr(timesEach(W, start));
  for (let step = 0; step < iterations; step++) Q = qr(timesEach(W, qr(timesEach(turned(W), Q)).Q)).Q;
  // Wᵀ Q = (V Σ) Pᵀ, so that Q Qᵀ W = (Q P) Σ Vᵀ.
  const rows = rowsOf(timesEach(turned(W), Q));
  const { values, small, large } = decompose(turned(viewOf(rows)), { count: width, withVectors: true });
  return { values, left: combinations(Q, small), right: large };
}

/** The first columns of Q and rows of R in W = Q R: an orthonormal basis of W's first columns. */
export function leadingQr(matrix: Matrix, count: number): { readonly Q: Columns; readonly R: Columns } {
  const { rows, columns, data } = matrix;
  const first = Array.from({ length: Math.min(count, columns) }, (_, j) =>
    Float64Array.from({ length: rows }, (_row, i) => data[i * columns + j]!),
  );
  const { Q } = qr(first);
  return { Q, R: timesEach(turned(viewOf(matrix)), Q) };
}

/** ‖W‖ of each row: √Σⱼ wᵢⱼ². */
export function rowNorms({ rows, columns, data }: Matrix): Float64Array {
  return Float64Array.from({ length: rows }, (_, i) =>
    norm(Float64Array.from(data.subarray(i * columns, (i + 1) * columns))),
  );
}

/** Wᵀ, row-major. */
export function transposed({ rows, columns, data }: Matrix): Float64Array {
  const result = new Float64Array(rows * columns);
  // In tiles: a stride as long as a row leaves the cache at every step.
  const tile = 32;
  for (let top = 0; top < rows; top += tile) {
    for (let left = 0; left < columns; left += tile) {
      const [bottom, right] = [Math.min(rows, top + tile), Math.min(columns, left + tile)];
      for (let i = top; i < bottom; i++)
        for (let j = left; j < right; j++) result[j * rows + i] = data[i * columns + j]!;
    }
  }
  return result;
}
