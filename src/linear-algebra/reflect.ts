/**
 * Products with many reflections at once: H₀ H₁ … Hₖ = 1 − V T Vᵀ with T upper triangular, for unit vectors vᵢ as columns of V and
 * Hᵢ = 1 − 2 vᵢ vᵢᵀ (Schreiber and Van Loan 1989).
 */
import { innerProducts, product } from "./product.ts";
import type { Reflections } from "./tridiagonal.ts";

/** Reflections that are undone together. */
const BLOCK = 64;

/**
 * Rows x of X become (H₀ H₁ … x): what {@link tridiagonal} has done is undone.
 * @param X [count, n]
 */
export function reflectBack(X: Float64Array, count: number, n: number, reflections: Reflections): void {
  for (let first = Math.floor((reflections.length - 1) / BLOCK) * BLOCK; first >= 0; first -= BLOCK) {
    // All of them as rows of one length, zeros before their beginnings.
    const from = first + 1;
    const length = n - from;
    const vectors = reflections.slice(first, first + BLOCK).map((vector) => {
      const row = new Float64Array(length);
      if (vector !== undefined) row.set(vector, length - vector.length);
      return row;
    });
    const k = vectors.length;
    const T = triangle(vectors);
    const V = new Float64Array(k * length);
    for (const [i, vector] of vectors.entries()) V.set(vector, i * length);
    // x ← x − (x V) Tᵀ Vᵀ for rows.
    const along = new Float64Array(count * k);
    product(
      { data: X, offset: from, rows: count, columns: length, rowStride: n, columnStride: 1 },
      { data: V, rows: length, columns: k, rowStride: 1, columnStride: length },
      { data: along, rowStride: k },
    );
    const weights = new Float64Array(count * k);
    product(
      { data: along, rows: count, columns: k, rowStride: k, columnStride: 1 },
      { data: T, rows: k, columns: k, rowStride: 1, columnStride: k },
      { data: weights, rowStride: k },
    );
    product(
      { data: weights, rows: count, columns: k, rowStride: k, columnStride: 1 },
      { data: V, rows: k, columns: length, rowStride: length, columnStride: 1 },
      { data: X, offset: from, rowStride: n, add: -1 },
    );
  }
}

/** T [k, k] of reflections along these vectors. */
function triangle(vectors: readonly Float64Array[]): Float64Array {
  const k = vectors.length;
  const products = innerProducts(vectors, vectors).data;
  const T = new Float64Array(k * k);
  for (let j = 0; j < k; j++) {
    // T[:j, j] = −2 T[:j, :j] (Vᵀ vⱼ)
    for (let i = 0; i < j; i++) {
      let sum = 0;
      for (let l = i; l < j; l++) sum += T[i * k + l]! * products[l * k + j]!;
      T[i * k + j] = -2 * sum;
    }
    T[j * k + j] = 2;
  }
  return T;
}
