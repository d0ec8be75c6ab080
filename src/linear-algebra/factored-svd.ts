/**
 * The singular values of s · B · A without the product: B = Q₁ R₁ and Aᵀ = Q₂ R₂, and then s R₁ R₂ᵀ = P Σ Sᵀ of r × r, so that
 * s B A = (Q₁ P) Σ (Q₂ S)ᵀ. Exact, in (m + n) r² operations and a few r³: milliseconds at any width.
 */
import { ShapeError } from "../errors.ts";
import { type Columns, jacobi, qr } from "./columns.ts";
import type { Matrix } from "./matrix.ts";
import { columnVectors, combinations, multiplied, rowsOf, rowVectors, turned, viewOf } from "./product.ts";
import { type Svd, svd } from "./svd.ts";

/** One-sided Jacobi keeps every digit, and takes 10 r³ a few times over. */
const MOST_JACOBI = 48;

/**
 * @param B [m, r]
 * @param A [r, n]
 * @param scaling s. Default: 1
 * @returns min(m, r, n) values with their vectors; the vectors are zero where the value is
 * @throws ShapeError if B has not as many columns as A has rows
 */
export function factoredSvd(B: Matrix, A: Matrix, scaling = 1): Svd {
  if (B.columns !== A.rows) {
    throw new ShapeError({ what: "B A", got: `B ${B.rows} × ${B.columns}, A ${A.rows} × ${A.columns}` });
  }
  return outerProductsSvd(columnVectors(B), rowVectors(A), scaling);
}

/** The same of s Σ bᵢ aᵢᵀ. @param B bᵢ, [m] each @param A aᵢ, [n] each, as many */
export function outerProductsSvd(B: Columns, A: Columns, scaling = 1): Svd {
  const count = Math.min(B.length, B[0]?.length ?? 0, A[0]?.length ?? 0);
  const left = qr(B);
  const right = qr(A);
  const core = coreSvd(left.R, right.R, scaling);
  const values = core.values.slice(0, count);
  const wanted = (vectors: Columns): Columns =>
    Array.from(values, (value, i) => (value === 0 ? new Float64Array(B.length) : vectors[i]!));
  return {
    values,
    left: combinations(left.Q, wanted(core.left)),
    right: combinations(right.Q, wanted(core.right)),
  };
}

/** Of s R₁ R₂ᵀ. */
function coreSvd(R1: Columns, R2: Columns, scaling: number): Svd {
  const r = R1.length;
  // Rᵢ is upper triangular and given by columns: its rows are those of the transpose.
  const core = multiplied(turned(viewOf(rowsOf(R1))), viewOf(rowsOf(R2)));
  for (let i = 0; i < core.data.length; i++) core.data[i]! *= scaling;
  if (r > MOST_JACOBI) return svd(core);
  const { scaledU, V, values } = jacobi(columnVectors(core));
  return {
    values: Float64Array.from(values),
    left: scaledU.map((column, i) => (values[i] === 0 ? column : column.map((value) => value / values[i]!))),
    right: V,
  };
}
