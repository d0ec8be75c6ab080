/**
 * Intruder dimensions (Shuttleworth et al. 2024, arXiv 2410.21228, definition 3.1 and algorithm 1): singular vectors y_j of
 * the tuned matrix, among the k highest-ranking ones, that no singular vector x_i of the base resembles:
 *
 *     max_i |cos(y_j, x_i)| < ε
 *
 * Defaults as in the authors' code and in PEFT's: k = 10, ε = 0.5, left vectors, all of the base's thin decomposition, the
 * absolute cosine (the paper's text has it without the bars).
 *
 * Three traps. Thin base vectors span the space only where they are as many as it has dimensions: left ones where
 * out ≤ in, right ones where in ≤ out. On the other side a vector can have small cosines simply by leaving their span.
 * Vectors of near-equal σ turn into each other by any small change, and count as intruders then: hence the gap beside each
 * hit. In few dimensions cosines of unrelated vectors are large ({@link nullLevel}): below width 64 intruders hide in them.
 */
import type { Svd } from "../../linear-algebra/svd.ts";
import type { Side } from "../report.ts";
import { directionCount } from "./ranks.ts";
import { cosines, type MaxCosines, maxCosines } from "./similarity.ts";

export const DEFAULT_K = 10;
export const DEFAULT_EPSILON = 0.5;
/** Where the null level is 0.36 and a cosine of 0.5 with some base vector is no longer rare. */
export const MIN_WIDTH = 64;
/** Of σ: vectors whose σ are closer than this turn into each other by small changes. */
export const NEAR_GAP = 0.01;

export interface IntruderSearch {
  /** Vectors of the base, all of the thin decomposition; those without a direction (σ = 0 but for rounding) are left aside. */
  readonly base: Svd;
  /** Of the tuned matrix; at least k vectors, and one value more for the gap of the last. */
  readonly tuned: Svd;
  /** Tuned vectors that are looked at, the highest-ranking ones. Default: 10. */
  readonly k?: number;
  /** Default: 0.5. */
  readonly epsilon?: number;
  /** Default: "left". */
  readonly side?: Side;
}

export interface Intruder {
  /** Among the tuned vectors, from 1. */
  readonly rank: number;
  readonly sigma: number;
  readonly maxCos: number;
  /** Rank of the base vector that resembles it most, from 1. */
  readonly nearest: number;
  /** σ_j − σ_{j+1}; undefined for the last value. */
  readonly gap: number | undefined;
  /** Whether a neighbour's σ is within 1 % of its own: then its direction means little. */
  readonly isLoose: boolean;
}

export interface Intruders {
  readonly side: Side;
  readonly k: number;
  readonly epsilon: number;
  readonly count: number;
  readonly found: readonly Intruder[];
  /** Largest |cosine| of every tuned vector that was given, by rank; those without a direction have no entry. */
  readonly maxCos: readonly number[];
  /** Rank of the base vector where it is reached, from 1. */
  readonly nearest: readonly number[];
  /** Whether the base vectors span the whole space. */
  readonly spans: boolean;
  /** What a random vector would have against them. */
  readonly nullMaxCos: number;
  /** In sentences, for a reader of the numbers. */
  readonly warnings: readonly string[];
}

/** Costs length · base · tuned multiplications: give the k first tuned vectors alone where only they matter. */
export function findIntruders({
  base,
  tuned,
  k = DEFAULT_K,
  epsilon = DEFAULT_EPSILON,
  side = "left",
}: IntruderSearch): Intruders {
  const known = base[side].slice(0, directionCount(base.values));
  const vectors = tuned[side].slice(0, directionCount(tuned.values));
  const width = base[side][0]?.length ?? tuned[side][0]?.length ?? 0;
  return intrudersAmong(maxCosines(cosines(known, vectors)), {
    values: tuned.values,
    baseVectors: known.length,
    width,
    k,
    epsilon,
    side,
  });
}

export interface IntruderFacts {
  /** σ of the tuned matrix. */
  readonly values: ArrayLike<number>;
  /** How many of the base have a direction. */
  readonly baseVectors: number;
  /** Length of a vector. */
  readonly width: number;
  readonly k: number;
  readonly epsilon: number;
  readonly side: Side;
}

/** As {@link findIntruders}, from cosines that are there already. */
export function intrudersAmong(
  { max, nearest }: MaxCosines,
  { values, baseVectors, width, k, epsilon, side }: IntruderFacts,
): Intruders {
  const found = max.slice(0, k).flatMap((maxCos, j): Intruder[] => {
    if (!(maxCos < epsilon)) return [];
    const [sigma, next, previous] = [values[j]!, values[j + 1], values[j - 1]];
    const distances = [next, previous].flatMap((other) => (other === undefined ? [] : [Math.abs(other - sigma)]));
    return [
      {
        rank: j + 1,
        sigma,
        maxCos,
        nearest: nearest[j]!,
        gap: next === undefined ? undefined : sigma - next,
        isLoose: distances.some((distance) => distance < NEAR_GAP * sigma),
      },
    ];
  });
  const spans = baseVectors >= width;
  const nullMaxCos = nullLevel(width, baseVectors);
  const warnings = [
    ...(width < MIN_WIDTH
      ? [`width ${width} is below ${MIN_WIDTH}: a random vector has a cosine of about ${nullMaxCos.toFixed(2)} there`]
      : []),
    ...(spans
      ? []
      : [
          `the ${baseVectors} ${side} singular vectors of the base do not span ${width} dimensions: ` +
            `small cosines may only mean that a vector leaves their span; the ${side === "left" ? "right" : "left"} side tells more`,
        ]),
    ...found.flatMap(({ rank, isLoose }) =>
      isLoose
        ? [`σ of the intruder at rank ${rank} is within ${100 * NEAR_GAP} % of a neighbour's: its direction is loose`]
        : [],
    ),
  ];
  return { side, k, epsilon, count: found.length, found, maxCos: max, nearest, spans, nullMaxCos, warnings };
}

/** How many of the first k are below ε. @param maxCos by rank */
export function countIntruders(maxCos: ArrayLike<number>, k = DEFAULT_K, epsilon = DEFAULT_EPSILON): number {
  return Array.from(maxCos)
    .slice(0, k)
    .filter((value) => value < epsilon).length;
}

/**
 * What max |cos| of a random unit vector in m dimensions is, about, against orthonormal vectors: √(2 ln n / m), at most 1. It is
 * a little above the mean: 0.132 for m = 768, where that is 0.120.
 * @param vectors n. Default: m, a whole basis
 */
export function nullLevel(m: number, vectors = m): number {
  if (m <= 1) return 1;
  return Math.min(1, Math.sqrt((2 * Math.log(Math.max(1, vectors))) / m));
}

/** The least that max |cos| of a vector against a whole basis of m vectors can be: 1 / √m. */
export function leastMaxCos(m: number): number {
  return 1 / Math.sqrt(m);
}
