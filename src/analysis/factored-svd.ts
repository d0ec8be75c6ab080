/** The singular values and vectors of Σ bᵢ aᵢᵀ, without making the matrix. */
import { factorize } from "../adapters/factorize.ts";
import type { Columns } from "../linear-algebra/columns.ts";
import type { Svd } from "../linear-algebra/svd.ts";

/**
 * Exact, by QR of both and the singular values of the small core between them; values that are zero but for rounding are left
 * out.
 * @param B bᵢ, [out] each
 * @param A aᵢ, [in] each, as many
 */
export function factoredSvd({ B, A }: { readonly B: Columns; readonly A: Columns }): Svd {
  const { B: scaled, A: right, singularValues } = factorize(B, A, B.length);
  const values = Float64Array.from(singularValues.slice(0, scaled.length));
  return { values, left: scaled.map((column, i) => column.map((value) => value / values[i]!)), right };
}
