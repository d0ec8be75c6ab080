/**
 * Thin matrices as lists of their columns, in float64: QR and the singular values of a few columns.
 *
 * QR: Gram-Schmidt, each column twice, which is enough (Giraud, Langou and Rozložník 2005). SVD: one-sided Jacobi
 * (Hestenes 1958; Golub and Van Loan, Matrix Computations, §8.6.3).
 */

import { multiplied, product, rowsOf, rowVectors, turned, type View, viewOf } from "./product.ts";

/** Columns of equal length. */
export type Columns = readonly Float64Array[];

/** What is left of a column that depends on the others: rounding, and no direction of its own. */
export const DEPENDENT = 1e-13;
/** Of the norms of two columns: where Jacobi takes them for orthogonal. */
const ORTHOGONAL = 1e-15;
const MAX_SWEEPS = 60;

/** Columns that are made orthogonal to each other one by one; to those before, all at once. */
const BLOCK = 8;

/** M = Q R: columns of Q are orthonormal, or zero where M's depend on those before; R by columns. */
export function qr(columns: Columns): { Q: Columns; R: Columns } {
  const count = columns.length;
  const length = columns[0]?.length ?? 0;
  // Columns of Q as rows; those of the block are what is left of M's.
  const rows = rowsOf(columns).data;
  const R = columns.map(() => new Float64Array(count));
  for (let first = 0; first < count; first += BLOCK) {
    const size = Math.min(BLOCK, count - first);
    const block = Array.from({ length: size }, (_, j) => rows.subarray((first + j) * length, (first + j + 1) * length));
    const sizes = block.map(norm);
    // B = Q₀ C + Q₁ R₁, and once more: Q₁ = Q₀ D + Q₂ R₂, so that B = Q₀ (C + D R₁) + Q₂ R₂ R₁.
    const C = takeOut(rows, length, first, size);
    const R1 = gramSchmidt(block, sizes);
    const D = first === 0 ? [] : takeOut(rows, length, first, size);
    const R2 = first === 0 ? undefined : gramSchmidt(block);
    for (const [j, weights] of R1.entries()) {
      const column = R[first + j]!;
      if (first > 0) column.set(C[j]!);
      for (const [i, along] of D.entries()) subtract(column, along, -weights[i]!);
      column.set(R2 === undefined ? weights : combine(R2, weights), first);
    }
  }
  return { Q: columns.map((_, j) => rows.slice(j * length, (j + 1) * length)), R };
}

/** Takes from rows `first` and more what they have of the rows before, which are orthonormal. @returns how much that was */
function takeOut(data: Float64Array, length: number, first: number, size: number): Float64Array[] {
  if (first === 0) return [];
  const before: View = { data, rows: first, columns: length, rowStride: length, columnStride: 1 };
  const along = multiplied({ ...before, offset: first * length, rows: size }, turned(before));
  product(viewOf(along), before, { data, offset: first * length, rowStride: length, add: -1 });
  return rowVectors(along);
}

/**
 * Makes columns orthonormal, or zero.
 * @param sizes what is left of a column is compared with; default: their norms
 * @returns R, by columns
 */
function gramSchmidt(columns: Columns, sizes: readonly number[] = columns.map(norm)): Columns {
  return columns.map((column, j) => {
    const coefficients = new Float64Array(columns.length);
    for (let pass = 0; pass < 2; pass++) {
      for (let i = 0; i < j; i++) {
        const along = dot(columns[i]!, column);
        coefficients[i]! += along;
        subtract(column, columns[i]!, along);
      }
    }
    const length = norm(column);
    const isNew = length > DEPENDENT * sizes[j]!;
    coefficients[j] = isNew ? length : 0;
    for (let i = 0; i < column.length; i++) column[i] = isNew ? column[i]! / length : 0;
    return coefficients;
  });
}

/** Singular values in descending order, U Σ and V by columns. */
export function jacobi(M: Columns): { scaledU: Columns; V: Columns; values: number[] } {
  const n = M.length;
  const W = M.map((column) => Float64Array.from(column));
  const V = M.map((_, i) => Float64Array.from({ length: n }, (_row, j) => (i === j ? 1 : 0)));
  for (let sweep = 0, turned = true; turned && sweep < MAX_SWEEPS; sweep++) {
    turned = false;
    for (let p = 0; p < n - 1; p++) {
      for (let q = p + 1; q < n; q++) {
        const [alpha, beta, gamma] = [dot(W[p]!, W[p]!), dot(W[q]!, W[q]!), dot(W[p]!, W[q]!)];
        if (gamma === 0 || Math.abs(gamma) <= ORTHOGONAL * Math.sqrt(alpha * beta)) continue;
        turned = true;
        const zeta = (beta - alpha) / (2 * gamma);
        const t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta));
        const c = 1 / Math.hypot(1, t);
        rotateColumns(W[p]!, W[q]!, c, c * t);
        rotateColumns(V[p]!, V[q]!, c, c * t);
      }
    }
  }
  const order = W.map((column, i) => ({ i, value: norm(column) })).sort((a, b) => b.value - a.value);
  return {
    scaledU: order.map(({ i }) => W[i]!),
    V: order.map(({ i }) => V[i]!),
    values: order.map(({ value }) => value),
  };
}

function rotateColumns(x: Float64Array, y: Float64Array, c: number, s: number): void {
  for (let i = 0; i < x.length; i++) {
    const [a, b] = [x[i]!, y[i]!];
    x[i] = c * a - s * b;
    y[i] = s * a + c * b;
  }
}

/** Σ weights[i] · columns[i] */
export function combine(columns: Columns, weights: Float64Array): Float64Array {
  const sum = new Float64Array(columns[0]?.length ?? 0);
  for (const [i, column] of columns.entries()) subtract(sum, column, -weights[i]!);
  return sum;
}

/** from −= factor · column */
export function subtract(from: Float64Array, column: Float64Array, factor: number): void {
  if (factor === 0) return;
  for (let i = 0; i < column.length; i++) from[i]! -= factor * column[i]!;
}

export function dot(x: Float64Array, y: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!;
  return sum;
}

/** Frobenius norm. */
export function size(columns: Columns): number {
  return Math.hypot(...columns.map(norm));
}

export function norm(x: Float64Array): number {
  return Math.sqrt(dot(x, x));
}
