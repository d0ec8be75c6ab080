/**
 * Whether a learned B·A finds the directions that full fine-tuning would take (LoRA notes: "let A and B learn the top r of
 * the SVD of ΔW"): the learned update against the best rank-r part of the full one.
 */
import { type Columns, dot, norm } from "../../linear-algebra/columns.ts";
import type { Svd } from "../../linear-algebra/svd.ts";
import { adapterOverlap, alignment, innerProduct, type SideOverlap } from "./adapter-overlap.ts";
import { directionCount } from "./ranks.ts";

export interface LearnedSubspace {
  /** Directions compared: those of the learned update, and as many of the full one. */
  readonly r: number;
  /** φ between the column spaces of B·A and of the full update's r first directions. */
  readonly left: SideOverlap;
  /** The same between the row spaces. */
  readonly right: SideOverlap;
  /** Share of ‖ΔW_full‖_F² within the learned column and row spaces: ‖Uᵀ ΔW V‖² / ‖ΔW‖². */
  readonly captured: number;
  /** The most that r directions can hold: (σ₁² + … + σᵣ²) / Σσ². */
  readonly best: number;
  /** ⟨B·A, ΔW_full⟩ / (‖B·A‖ ‖ΔW_full‖). */
  readonly cosine: number;
  /** ‖B·A − ΔWᵣ‖_F / ‖ΔWᵣ‖_F, ΔWᵣ the full update's best part of rank r. */
  readonly distance: number;
}

/**
 * @param learned of s·B·A
 * @param full of ΔW of full fine-tuning, all values above 0 with their vectors
 * @param r directions. Default: as many as the learned update has
 */
export function learnedSubspace(learned: Svd, full: Svd, r = Infinity): LearnedSubspace {
  const rank = Math.min(r, directionCount(learned.values));
  const top = first(full, rank);
  const { left, right } = adapterOverlap(first(learned, rank), top);
  const total = norm(full.values) ** 2;
  const topSize = norm(top.values);
  const inside = capturedEnergy(first(learned, rank), full);
  const square = norm(learned.values) ** 2 - 2 * innerProduct(learned, top) + topSize ** 2;
  return {
    r: rank,
    left,
    right,
    captured: total === 0 ? 0 : inside / total,
    best: total === 0 ? 0 : topSize ** 2 / total,
    cosine: alignment(learned, full),
    distance: topSize === 0 ? 0 : Math.sqrt(Math.max(0, square)) / topSize,
  };
}

/** ‖Uᵀ M V‖_F² with U, V of `space` and M of `full`. */
function capturedEnergy(space: Svd, full: Svd): number {
  const [left, right] = [products(space.left, full.left), products(space.right, full.right)];
  let sum = 0;
  for (const u of left) {
    for (const v of right) {
      let value = 0;
      for (let k = 0; k < u.length; k++) value += u[k]! * full.values[k]! * v[k]!;
      sum += value * value;
    }
  }
  return sum;
}

function products(xs: Columns, ys: Columns): Columns {
  return xs.map((x) => Float64Array.from(ys, (y) => dot(x, y)));
}

function first({ values, left, right }: Svd, count: number): Svd {
  return { values: values.slice(0, count), left: left.slice(0, count), right: right.slice(0, count) };
}
