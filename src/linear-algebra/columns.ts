/**
 * Thin matrices as lists of their columns, in float64: QR and the singular values of a few columns.
 *
 * QR: Gram-Schmidt, each column twice, which is enough (Giraud, Langou and Rozložník 2005). SVD: one-sided Jacobi
 * (Hestenes 1958; Golub and Van Loan, Matrix Computations, §8.6.3).
 */

/** Columns of equal length. */
export type Columns = readonly Float64Array[];

/** What is left of a column that depends on the others: rounding, and no direction of its own. */
export const DEPENDENT = 1e-13;
/** Of the norms of two columns: where Jacobi takes them for orthogonal. */
const ORTHOGONAL = 1e-15;
const MAX_SWEEPS = 60;

/** M = Q R: columns of Q are orthonormal, or zero where M's depend on those before; R by columns. */
export function qr(columns: Columns): { Q: Columns; R: Columns } {
  const Q: Float64Array[] = [];
  const R: Float64Array[] = [];
  for (const [j, column] of columns.entries()) {
    const rest = Float64Array.from(column);
    const coefficients = new Float64Array(columns.length);
    for (let pass = 0; pass < 2; pass++) {
      for (let i = 0; i < j; i++) {
        const along = dot(Q[i]!, rest);
        coefficients[i]! += along;
        subtract(rest, Q[i]!, along);
      }
    }
    const length = norm(rest);
    const isNew = length > DEPENDENT * norm(column);
    coefficients[j] = isNew ? length : 0;
    Q.push(isNew ? rest.map((value) => value / length) : new Float64Array(rest.length));
    R.push(coefficients);
  }
  return { Q, R };
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
  for (let i = 0; i < from.length; i++) from[i]! -= factor * column[i]!;
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
