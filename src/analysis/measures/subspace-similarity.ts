/**
 * How much of one subspace lies in another: LoRA (Hu et al. 2021, arXiv 2106.09685), §7.2, eq. 4.
 *
 *     φ(U, V, i, j) = ‖Uᵢᵀ Vⱼ‖_F² / min(i, j)     from 0 (orthogonal) to 1 (one is inside the other)
 *
 * Uᵢ are the first i of orthonormal directions, ordered by their singular values. For a factor A [r, in] they are its right
 * singular vectors, for B [out, r] its left ones. With p = min(i, j) and σ the singular values of Uᵢᵀ Vⱼ, the projection
 * metric is d² = p − Σσ², so that φ = 1 − d² / p. Appendix G of the paper prints (1 − d²) / p, which is right for p = 1 alone.
 *
 * Singular vectors may have either sign, and near-equal values turn them into each other: single cosines say little then,
 * while φ of a subspace that has all of such a group stays.
 */
import { type Columns, dot } from "../../linear-algebra/columns.ts";

/**
 * φ of all pairs of leading subspaces: `grid[i - 1][j - 1]` is φ(U, V, i, j).
 * @param U orthonormal, in one space with V; a zero vector stands for a direction that is missing
 */
export function subspaceSimilarity(U: Columns, V: Columns): number[][] {
  const sums = new Float64Array(V.length);
  return U.map((u, i) => {
    let row = 0;
    return V.map((v, j) => {
      row += dot(u, v) ** 2;
      sums[j]! += row;
      return sums[j]! / (Math.min(i, j) + 1);
    });
  });
}

/** φ of random subspaces of i and j directions in d dimensions on average, exactly: max(i, j) / d. */
export function randomSimilarity(i: number, j: number, d: number): number {
  return Math.min(1, Math.max(i, j) / d);
}

/** d = √(min(i, j) − ‖Uᵀ V‖_F²), from 0 to √min(i, j), of the subspaces of all columns. */
export function projectionDistance(U: Columns, V: Columns): number {
  const p = Math.min(U.length, V.length);
  if (p === 0) return 0;
  return Math.sqrt(Math.max(0, p * (1 - subspaceSimilarity(U, V).at(-1)!.at(-1)!)));
}
