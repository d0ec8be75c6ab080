/** All eigenvalues of a symmetric tridiagonal matrix by QL steps with implicit shifts (EISPACK's tql2; Golub and Van Loan, §8.3.5). */
import { EPSILON } from "./epsilon.ts";

/** Steps for one value; two or three are usual. */
const MOST_STEPS = 60;

/**
 * @param diagonal [n]; becomes the eigenvalues, in no order
 * @param beside [n − 1] or more; is overwritten
 * @param rotate applied to the vectors i and i + 1, for those who want them:
 *   (vᵢ, vᵢ₊₁) ← (c vᵢ − s vᵢ₊₁, s vᵢ + c vᵢ₊₁)
 */
export function qlValues(
  diagonal: Float64Array,
  beside: Float64Array,
  rotate?: (i: number, c: number, s: number) => void,
): void {
  const n = diagonal.length;
  const e = new Float64Array(n);
  e.set(beside.subarray(0, Math.max(0, n - 1)));
  const d = diagonal;
  let largest = 0;
  for (let i = 0; i < n; i++) largest = Math.max(largest, Math.abs(d[i]!) + Math.abs(e[i]!));
  // Of the largest, not of the neighbours: else small ones after large ones take hundreds of steps, and digits are all that is won
  // which the matrix has lost when it became tridiagonal.
  const nothing = (largest * EPSILON) / 8;
  for (let l = 0; l < n; l++) {
    for (let steps = 0; ; steps++) {
      let m = l;
      while (m < n - 1 && Math.abs(e[m]!) > nothing) m++;
      if (m === l) break;
      if (steps === MOST_STEPS) throw new RangeError("QL steps do not converge: a number is not finite");
      let g = (d[l + 1]! - d[l]!) / (2 * e[l]!);
      let r = Math.sqrt(g * g + 1);
      g = d[m]! - d[l]! + e[l]! / (g + (g < 0 ? -r : r));
      let [s, c, p] = [1, 1, 0];
      let i = m - 1;
      for (; i >= l; i--) {
        const f = s * e[i]!;
        const b = c * e[i]!;
        r = Math.sqrt(f * f + g * g);
        e[i + 1] = r;
        if (r === 0) {
          d[i + 1]! -= p;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1]! - p;
        r = (d[i]! - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        rotate?.(i, c, s);
      }
      if (r === 0 && i >= l) continue;
      d[l]! -= p;
      e[l] = g;
      e[m] = 0;
    }
  }
}
