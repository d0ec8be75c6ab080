/**
 * How much two updates of one matrix share: the similarity φ of LoRA §7.2 between the spaces that ΔW writes into (columns,
 * left singular vectors) and reads from (rows, right ones), each beside what random updates of these ranks would share.
 */
import { type Columns, dot, norm } from "../../linear-algebra/columns.ts";
import type { Svd } from "../../linear-algebra/svd.ts";
import { directionCount } from "./ranks.ts";
import { randomSimilarity, subspaceSimilarity } from "./subspace-similarity.ts";

export interface SideOverlap {
  /** φ of the leading subspaces: `grid[i - 1][j - 1]` of i directions of the one and j of the other. */
  readonly grid: readonly (readonly number[])[];
  /** φ of all directions, the last of the grid; 0 if an update is zero. */
  readonly similarity: number;
  /** What random subspaces of so many directions have on average. */
  readonly random: number;
}

export interface AdapterOverlap {
  /** Directions of each update. */
  readonly ranks: readonly [a: number, b: number];
  /** Of the column spaces. */
  readonly left: SideOverlap;
  /** Of the row spaces. */
  readonly right: SideOverlap;
  /** ⟨ΔW_a, ΔW_b⟩ / (‖ΔW_a‖ ‖ΔW_b‖): whether they do the same, from −1 to 1; 0 if one is zero. */
  readonly cosine: number;
}

/**
 * @param a of ΔW of the one adapter, all of it
 * @param rank directions of each at most. Default: all
 */
export function adapterOverlap(a: Svd, b: Svd, rank = Infinity): AdapterOverlap {
  const [first, second] = [kept(a, rank), kept(b, rank)];
  return {
    ranks: [first.left.length, second.left.length],
    left: sideOverlap(first.left, second.left),
    right: sideOverlap(first.right, second.right),
    cosine: alignment(a, b),
  };
}

/** Of each matrix that both have, in the order of the first. */
export function adapterOverlaps(
  a: ReadonlyMap<string, Svd>,
  b: ReadonlyMap<string, Svd>,
  rank = Infinity,
): ReadonlyMap<string, AdapterOverlap> {
  return new Map(
    [...a].flatMap(([name, update]) => {
      const other = b.get(name);
      return other === undefined ? [] : [[name, adapterOverlap(update, other, rank)] as const];
    }),
  );
}

/** ⟨M, N⟩ / (‖M‖_F ‖N‖_F) of two matrices, from their singular vectors: Σᵢⱼ σᵢ τⱼ (uᵢ·pⱼ)(vᵢ·qⱼ). 0 if one is zero. */
export function alignment(a: Svd, b: Svd): number {
  const size = norm(a.values) * norm(b.values);
  if (size === 0) return 0;
  return innerProduct(a, b) / size;
}

/** ⟨M, N⟩ = trace(Mᵀ N), from the vectors that are given. */
export function innerProduct(a: Svd, b: Svd): number {
  let sum = 0;
  for (let i = 0; i < a.left.length; i++) {
    if (!(a.values[i]! > 0)) continue;
    for (let j = 0; j < b.left.length; j++) {
      if (!(b.values[j]! > 0)) continue;
      sum += a.values[i]! * b.values[j]! * dot(a.left[i]!, b.left[j]!) * dot(a.right[i]!, b.right[j]!);
    }
  }
  return sum;
}

function sideOverlap(U: Columns, V: Columns): SideOverlap {
  const width = U[0]?.length ?? V[0]?.length ?? 0;
  const grid = subspaceSimilarity(U, V);
  return {
    grid,
    similarity: grid.at(-1)?.at(-1) ?? 0,
    random: U.length === 0 || V.length === 0 ? 0 : randomSimilarity(U.length, V.length, width),
  };
}

function kept({ values, left, right }: Svd, rank: number): Svd {
  const count = Math.min(rank, left.length, directionCount(values));
  return { values: values.slice(0, count), left: left.slice(0, count), right: right.slice(0, count) };
}
