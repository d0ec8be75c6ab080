/**
 * Singular values of a dense matrix W [rows, columns], row-major: W = Σ σᵢ uᵢ vᵢᵀ.
 *
 * {@link svd} goes through the eigenvalues of the smaller of W Wᵀ and Wᵀ W, in float64. That squares the values, so that those
 * below 1e-7 of the largest are rounding; the larger ones, and their vectors, are right to far more digits than float32 has.
 * It takes n² m operations with n the smaller and m the larger side, and 4/3 n³.
 *
 * {@link randomizedSvd} takes 4 (iterations + 1) rank · rows · columns: subspace iteration from a random start (Halko, Martinsson
 * and Tropp 2011, algorithm 4.4), as torch.svd_lowrank, whose start is as wide as the rank, too.
 */
import { NumericError } from "../errors.ts";
import type { Random } from "../random.ts";
import { type Columns, combine, jacobi, norm, qr } from "./columns.ts";
import { largestEigen } from "./symmetric.ts";

export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  /** Row-major. */
  readonly data: Float32Array | Float64Array;
}

export interface Svd {
  /** In descending order. */
  readonly values: Float64Array;
  /** uᵢ, [rows] each; zero where σᵢ is. */
  readonly left: Columns;
  /** vᵢ, [columns] each; zero where σᵢ is. */
  readonly right: Columns;
}

/** Values below this part of the largest one are zero: what squaring leaves of them is rounding. */
const VANISHING = 1e-9;
/** Elements of rows that are multiplied while they are in the cache. */
const CHUNK = 512;

/**
 * The largest singular values and their vectors.
 * @param rank how many; default: all
 * @throws NumericError if a number is not finite
 */
export function svd(matrix: Matrix, rank = Infinity): Svd {
  const { rows, columns } = matrix;
  requireFinite(matrix);
  const isWide = rows <= columns;
  const [n, m] = isWide ? [rows, columns] : [columns, rows];
  const X = isWide ? Float64Array.from(matrix.data) : transposed(matrix);
  const { values: squares, vectors } = largestEigen(gram(X, n, m), n, { count: Math.min(rank, n) });
  const values = squares.map((square) => Math.sqrt(Math.max(0, square)));
  const floor = VANISHING * (values[0] ?? 0);
  for (const [i, value] of values.entries()) if (value <= floor) values[i] = 0;
  const small = vectors.map((vector, i) => (values[i] === 0 ? new Float64Array(n) : vector));
  const large = small.map((vector, i) => {
    const product = new Float64Array(m);
    if (values[i] === 0) return product;
    for (let row = 0; row < n; row++) {
      const weight = vector[row]! / values[i]!;
      for (let j = 0, at = row * m; j < m; j++, at++) product[j]! += weight * X[at]!;
    }
    return product;
  });
  return isWide ? { values, left: small, right: large } : { values, left: large, right: small };
}

/** All singular values, in descending order. @throws NumericError if a number is not finite */
export function singularValues(matrix: Matrix): Float64Array {
  const { rows, columns } = matrix;
  requireFinite(matrix);
  const isWide = rows <= columns;
  const [n, m] = isWide ? [rows, columns] : [columns, rows];
  const X = isWide ? Float64Array.from(matrix.data) : transposed(matrix);
  const { values } = largestEigen(gram(X, n, m), n, { vectors: false });
  return values.map((square) => Math.sqrt(Math.max(0, square)));
}

function requireFinite({ rows, columns, data }: Matrix): void {
  const at = data.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  throw new NumericError({
    where: `row ${Math.floor(at / columns)}, column ${at % columns} of a matrix of ${rows} × ${columns}`,
    what: "a number that is not finite has no singular values",
    got: data[at],
  });
}

/** Approximates the largest singular values and their vectors. @param iterations steps of the subspace iteration, from 0 */
export function randomizedSvd(matrix: Matrix, rank: number, iterations: number, random: Random): Svd {
  const width = Math.min(rank, matrix.rows, matrix.columns);
  const start = Array.from({ length: width }, () =>
    Float64Array.from({ length: matrix.columns }, () => random.normal()),
  );
  let { Q } = qr(multiply(matrix, start));
  for (let step = 0; step < iterations; step++) {
    Q = qr(multiply(matrix, qr(multiplyTransposed(matrix, Q)).Q)).Q;
  }
  // Wᵀ Q = (V Σ) Pᵀ, so that Q Qᵀ W = (Q P) Σ Vᵀ.
  const { scaledU, V: P, values } = jacobi(multiplyTransposed(matrix, Q));
  return {
    values: Float64Array.from(values),
    left: P.map((column) => combine(Q, column)),
    right: scaledU.map((column, i) => (values[i] === 0 ? column : column.map((value) => value / values[i]!))),
  };
}

/** The first columns of Q and rows of R in W = Q R: an orthonormal basis of W's first columns. */
export function leadingQr(matrix: Matrix, count: number): { readonly Q: Columns; readonly R: Columns } {
  const { rows, columns, data } = matrix;
  const first = Array.from({ length: Math.min(count, columns) }, (_, j) =>
    Float64Array.from({ length: rows }, (_row, i) => data[i * columns + j]!),
  );
  const { Q } = qr(first);
  return { Q, R: multiplyTransposed(matrix, Q) };
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

/** The lower triangle of X Xᵀ, X [n, m]: four rows by four at a time, so that each element is read a quarter as often. */
function gram(X: Float64Array, n: number, m: number): Float64Array {
  const G = new Float64Array(n * n);
  for (let start = 0; start < m; start += CHUNK) {
    const end = Math.min(m, start + CHUNK);
    for (let i = 0; i < n; i += 2) {
      for (let j = 0; j <= i + 1 && j < n; j += 4) addTile(G, X, n, m, i, j, start, end);
    }
  }
  return G;
}

/** Adds the products of rows i, i + 1 with rows j to j + 3 over the elements from `start` to `end`. */
function addTile(
  G: Float64Array,
  X: Float64Array,
  n: number,
  m: number,
  i: number,
  j: number,
  start: number,
  end: number,
): void {
  if (i + 1 >= n || j + 3 >= n) {
    for (let a = i; a < Math.min(n, i + 2); a++) {
      for (let b = j; b < Math.min(n, j + 4); b++) {
        let sum = 0;
        for (let k = start; k < end; k++) sum += X[a * m + k]! * X[b * m + k]!;
        G[a * n + b]! += sum;
      }
    }
    return;
  }
  const [a0, a1] = [i * m, (i + 1) * m];
  const [b0, b1, b2, b3] = [j * m, (j + 1) * m, (j + 2) * m, (j + 3) * m];
  let [s00, s01, s02, s03] = [0, 0, 0, 0];
  let [s10, s11, s12, s13] = [0, 0, 0, 0];
  for (let k = start; k < end; k++) {
    const x = X[a0 + k]!;
    const y = X[a1 + k]!;
    const c0 = X[b0 + k]!;
    const c1 = X[b1 + k]!;
    const c2 = X[b2 + k]!;
    const c3 = X[b3 + k]!;
    s00 += x * c0;
    s01 += x * c1;
    s02 += x * c2;
    s03 += x * c3;
    s10 += y * c0;
    s11 += y * c1;
    s12 += y * c2;
    s13 += y * c3;
  }
  const [r0, r1] = [i * n + j, (i + 1) * n + j];
  G[r0]! += s00;
  G[r0 + 1]! += s01;
  G[r0 + 2]! += s02;
  G[r0 + 3]! += s03;
  G[r1]! += s10;
  G[r1 + 1]! += s11;
  G[r1 + 2]! += s12;
  G[r1 + 3]! += s13;
}

/** W x for each x. */
function multiply({ rows, columns, data }: Matrix, xs: Columns): Float64Array[] {
  const width = xs.length;
  const packed = interleaved(xs, columns);
  const results = xs.map(() => new Float64Array(rows));
  const sums = new Float64Array(width);
  for (let i = 0; i < rows; i++) {
    sums.fill(0);
    for (let j = 0, at = i * columns, from = 0; j < columns; j++, at++) {
      const w = data[at]!;
      for (let k = 0; k < width; k++, from++) sums[k]! += w * packed[from]!;
    }
    for (let k = 0; k < width; k++) results[k]![i] = sums[k]!;
  }
  return results;
}

/** Wᵀ x for each x. */
function multiplyTransposed({ rows, columns, data }: Matrix, xs: Columns): Float64Array[] {
  const width = xs.length;
  const packed = interleaved(xs, rows);
  const sums = new Float64Array(columns * width);
  for (let i = 0; i < rows; i++) {
    const from = i * width;
    for (let j = 0, at = i * columns, to = 0; j < columns; j++, at++) {
      const w = data[at]!;
      for (let k = 0; k < width; k++, to++) sums[to]! += w * packed[from + k]!;
    }
  }
  return xs.map((_, k) => Float64Array.from({ length: columns }, (_row, j) => sums[j * width + k]!));
}

/** [length, count] row-major of columns. */
function interleaved(columns: Columns, length: number): Float64Array {
  const width = columns.length;
  const packed = new Float64Array(length * width);
  for (const [k, column] of columns.entries()) for (let i = 0; i < length; i++) packed[i * width + k] = column[i]!;
  return packed;
}
