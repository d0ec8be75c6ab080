/**
 * How much an update amplifies directions that the base does not emphasise: LoRA (Hu et al. 2021, arXiv 2106.09685), §7.3
 * and table 7.
 *
 *     factor = ‖ΔW‖_F / ‖Uᵀ W₀ V‖_F     U [out, r], V [in, r]: the first singular vectors of ΔW
 *
 * (The paper writes V as [r, in], and Uᵀ W Vᵀ.) Beside it, ‖Uᵀ W₀ V‖_F with U, V of W₀ itself, the most that there can be:
 * √(σ₁² + … + σᵣ²), and of a random matrix, whose singular subspaces are uniformly distributed. For those the root mean
 * square is known: ‖W₀‖_F · r / √(out · in).
 */
import { type Columns, dot, norm, qr } from "../../linear-algebra/columns.ts";
import { type Matrix, type Svd, svd } from "../../linear-algebra/svd.ts";
import { Random } from "../../random.ts";
import type { Amplification } from "../report.ts";
import { directionCount } from "./ranks.ts";

/**
 * @param W W₀
 * @param delta of ΔW: all values above 0, and at least r vectors
 * @param r directions that are taken; fewer if ΔW has fewer
 * @param seed of the random subspaces
 * @param base of W₀, at least r values. Default: computed
 */
export function amplification(W: Matrix, delta: Svd, r: number, seed: number, base?: Svd): Amplification {
  const taken = Math.min(r, directionCount(delta.values), delta.left.length, delta.right.length);
  const along = projected(W, delta.left.slice(0, taken), delta.right.slice(0, taken));
  const { values } = base ?? svd(W, taken);
  const random = new Random(seed);
  const directions = (length: number) =>
    qr(Array.from({ length: taken }, () => Float64Array.from({ length }, () => random.normal()))).Q;
  return {
    r: taken,
    factor: along === 0 ? null : norm(delta.values) / along,
    along_delta: along,
    along_base: norm(values.slice(0, taken)),
    along_random: projected(W, directions(W.rows), directions(W.columns)),
    random_expected: randomProjection(W, taken),
  };
}

/** ‖Uᵀ W V‖_F. @param U [out] each @param V [in] each */
export function projected({ rows, columns, data }: Matrix, U: Columns, V: Columns): number {
  let sum = 0;
  const product = new Float64Array(rows);
  for (const v of V) {
    for (let i = 0; i < rows; i++) {
      let value = 0;
      for (let j = 0, at = i * columns; j < columns; j++, at++) value += data[at]! * v[j]!;
      product[i] = value;
    }
    for (const u of U) sum += dot(u, product) ** 2;
  }
  return Math.sqrt(sum);
}

/** Root mean square of ‖Uᵀ W V‖_F over random subspaces of r directions: ‖W‖_F · r / √(out · in). */
export function randomProjection(W: Matrix, r: number): number {
  return (frobenius(W) * r) / Math.sqrt(W.rows * W.columns);
}

/** ‖W‖_F, summed in float64. */
export function frobenius({ data }: Pick<Matrix, "data">): number {
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i]! * data[i]!;
  return Math.sqrt(sum);
}
