/** The best factors of a given rank for a product of two thin matrices, without making the product. In float64. */
import { type Columns, DEPENDENT, size } from "../linear-algebra/columns.ts";
import { outerProductsSvd } from "../linear-algebra/factored-svd.ts";

export interface Factors {
  /** Left singular vectors times singular values: the columns of B, [out] each. */
  readonly B: Columns;
  /** Right singular vectors: the rows of A, [in] each. */
  readonly A: Columns;
  /** Of the whole product, in descending order; as many as there were columns, or rows of either. */
  readonly singularValues: readonly number[];
}

/**
 * The largest singular values and vectors of Σ bᵢ aᵢᵀ.
 * @param columns bᵢ, [out] each
 * @param rows aᵢ, [in] each, as many
 * @param rank how many at most; values that are zero, but for rounding, have none
 */
export function factorize(columns: Columns, rows: Columns, rank: number): Factors {
  const { values, left, right } = outerProductsSvd(columns, rows);
  // Columns may cancel out, and leave their rounding.
  const floor = DEPENDENT * size(columns) * size(rows);
  const kept = values.slice(0, rank).filter((value) => value > floor).length;
  return {
    B: left.slice(0, kept).map((u, i) => u.map((x) => x * values[i]!)),
    A: right.slice(0, kept),
    singularValues: [...values],
  };
}
