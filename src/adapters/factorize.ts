/**
 * The best factors of a given rank for a product of two thin matrices, without making the product: QR of both, then the
 * singular values of the small core between them. In float64.
 */
import { combine, type Columns, DEPENDENT, jacobi, qr, size } from "../linear-algebra/columns.ts";

export interface Factors {
  /** Left singular vectors times singular values: the columns of B, [out] each. */
  readonly B: Columns;
  /** Right singular vectors: the rows of A, [in] each. */
  readonly A: Columns;
  /** Of the whole product, in descending order; as many as there were columns. */
  readonly singularValues: readonly number[];
}

/**
 * The largest singular values and vectors of Σ bᵢ aᵢᵀ.
 * @param columns bᵢ, [out] each
 * @param rows aᵢ, [in] each, as many
 * @param rank how many at most; values that are zero, but for rounding, have none
 */
export function factorize(columns: Columns, rows: Columns, rank: number): Factors {
  const [left, right] = [qr(columns), qr(rows)];
  const n = columns.length;
  // core = R_left R_rightᵀ, by columns.
  const core = Array.from({ length: n }, (_, j) =>
    Float64Array.from({ length: n }, (_row, i) => {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += left.R[k]![i]! * right.R[k]![j]!;
      return sum;
    }),
  );
  const { scaledU, V, values } = jacobi(core);
  // Columns may cancel out, and leave their rounding.
  const floor = DEPENDENT * size(columns) * size(rows);
  const kept = values.slice(0, rank).filter((value) => value > floor).length;
  return {
    B: scaledU.slice(0, kept).map((u) => combine(left.Q, u)),
    A: V.slice(0, kept).map((v) => combine(right.Q, v)),
    singularValues: values,
  };
}
