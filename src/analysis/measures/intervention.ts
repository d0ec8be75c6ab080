/**
 * Scaling single singular directions of a tuned matrix (Shuttleworth et al. 2024, arXiv 2410.21228, §5 and appendix G), to
 * see what an intruder causes:
 *
 *     W(λ) = W + (λ − 1) Σᵢ uᵢ σᵢ vᵢᵀ     λ = 1: no change, 0: the directions are gone, 2: doubled
 *
 * uᵢ, σᵢ, vᵢ are those of W = W₀ + ΔW, and the paper takes the highest-ranking intruder of each matrix alone. λ = 0 does not
 * give W₀ back: what the intruder displaced stays displaced. PEFT scales all intruders among the first k at once; its
 * documentation says that a larger λ takes more away, its code does what is written here.
 *
 * The baseline is the same operation on a neighbour: the vector next to the intruder that is not one, and so comes from
 * pretraining.
 */
import { ConfigError } from "../../errors.ts";
import type { Matrix, Svd } from "../../linear-algebra/svd.ts";

/**
 * W + (λ − 1) Σᵢ uᵢ σᵢ vᵢᵀ, in float64.
 * @param svd of W
 * @param indices places in it, from 0 (rank − 1)
 * @throws ConfigError if it has no such place, or λ is not finite
 */
export function scaled(
  W: Matrix,
  svd: Svd,
  indices: readonly number[],
  lambda: number,
): Matrix & { readonly data: Float64Array } {
  if (!Number.isFinite(lambda)) {
    throw new ConfigError({ where: "lambda", what: "is not a number", got: lambda, expected: "a finite number" });
  }
  const { rows, columns } = W;
  const data = Float64Array.from(W.data);
  for (const index of indices) {
    const [value, u, v] = [svd.values[index], svd.left[index], svd.right[index]];
    if (value === undefined || u === undefined || v === undefined) {
      throw new ConfigError({
        where: "intervention",
        what: "there is no such singular vector",
        got: index,
        expected: `a place from 0 to ${Math.min(svd.left.length, svd.right.length) - 1}`,
      });
    }
    const factor = (lambda - 1) * value;
    if (factor === 0) continue;
    for (let i = 0; i < rows; i++) {
      const along = factor * u[i]!;
      for (let j = 0, at = i * columns; j < columns; j++, at++) data[at]! += along * v[j]!;
    }
  }
  return { rows, columns, data };
}

/**
 * The place of the vector that the baseline scales: the first one after the intruder that is none itself, or else the last
 * one before it. From 0; undefined if all are intruders.
 * @param intruder its place, from 0
 * @param intruders places of all of them
 * @param count vectors that there are
 */
export function neighbour(intruder: number, intruders: readonly number[], count: number): number | undefined {
  const taken = new Set([...intruders, intruder]);
  for (let place = intruder + 1; place < count; place++) if (!taken.has(place)) return place;
  for (let place = intruder - 1; place >= 0; place--) if (!taken.has(place)) return place;
  return undefined;
}

export interface ForgettingChange {
  /** (L(λ) − L(1)) / (L(1) − L_pre): of what fine-tuning cost. Null where it cost nothing. */
  readonly ofForgetting: number | null;
  /** (L(λ) − L(1)) / L(1): of the loss. */
  readonly ofLoss: number;
}

/**
 * What λ did to the loss on pretraining data. The paper's text fits both denominators, so here are both.
 * @param scaledLoss L(λ)
 * @param tunedLoss L(1)
 * @param pretrainedLoss L_pre, of the base
 */
export function forgettingChange(scaledLoss: number, tunedLoss: number, pretrainedLoss: number): ForgettingChange {
  const change = scaledLoss - tunedLoss;
  const forgotten = tunedLoss - pretrainedLoss;
  return { ofForgetting: forgotten === 0 ? null : change / forgotten, ofLoss: change / tunedLoss };
}
