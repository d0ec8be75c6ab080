/** Ranks of a matrix, from its singular values σ in descending order. */

/** Distance from 1 to the next float32: what weights are rounded to. */
export const FLOAT32_EPSILON = 2 ** -23;

/** Of σ₁: below, a vector's direction is that of the rounding of float64. */
const DIRECTIONLESS = 1e-13;

/** How many singular vectors have a direction: σ above rounding. */
export function directionCount(values: ArrayLike<number>): number {
  const sigma = Array.from(values);
  const largest = sigma.reduce((most, value) => Math.max(most, value), 0);
  return sigma.filter((value) => value > DIRECTIONLESS * largest).length;
}

/**
 * Effective rank (Roy and Vetterli 2007): exp of the entropy of p = σ / Σσ, in nats, from 1 to the rank. 0 of a zero matrix.
 *
 * p are shares of the sum of σ (the L1 norm), not of their squares, which some programs take and which gives less.
 */
export function effectiveRank(values: ArrayLike<number>): number {
  const sigma = Array.from(values);
  const sum = sigma.reduce((total, value) => total + value, 0);
  if (sum === 0) return 0;
  let entropy = 0;
  for (const value of sigma) {
    const p = value / sum;
    if (p > 0) entropy -= p * Math.log(p);
  }
  return Math.exp(entropy);
}

/** ‖W‖_F² / σ₁² = Σσ² / σ₁², from 1 to the rank. 0 of a zero matrix. */
export function stableRank(values: ArrayLike<number>): number {
  const sigma = Array.from(values);
  const largest = sigma.reduce((most, value) => Math.max(most, value), 0);
  if (largest === 0) return 0;
  return sigma.reduce((sum, value) => sum + (value / largest) ** 2, 0);
}

export interface NumericRankOptions {
  /** What σ is rounded to. Default: that of float32, 2⁻²³. */
  readonly epsilon?: number;
  /** Values up to this one are rounding besides: see {@link roundingLevel}. Default: 0. */
  readonly floor?: number;
}

/**
 * Number of σ above rounding: above σ₁ · max(shape) · ε, as NumPy's `matrix_rank` takes it.
 *
 * A difference ΔW = W − W₀ of stored weights has the rounding of W, which is large beside a small ΔW: give its
 * {@link roundingLevel} as `floor`, or the rank of any update is full.
 */
export function numericRank(
  values: ArrayLike<number>,
  shape: readonly [rows: number, columns: number],
  { epsilon = FLOAT32_EPSILON, floor = 0 }: NumericRankOptions = {},
): number {
  const sigma = Array.from(values);
  const largest = sigma.reduce((most, value) => Math.max(most, value), 0);
  const tolerance = Math.max(floor, largest * Math.max(...shape) * epsilon);
  return sigma.filter((value) => value > tolerance).length;
}

/**
 * The largest σ that storing a matrix in few bits adds: errors of at most ε/2 of each element, taken as independent, are a
 * random matrix, whose largest σ is their root mean square times √rows + √columns.
 * @param norm ‖W‖_F of the stored matrix
 * @param epsilon default: that of float32; 2⁻⁷ for bfloat16, 2⁻¹⁰ for float16
 */
export function roundingLevel(
  norm: number,
  [rows, columns]: readonly [rows: number, columns: number],
  epsilon = FLOAT32_EPSILON,
): number {
  return (epsilon / 2) * (norm / Math.sqrt(rows * columns)) * (Math.sqrt(rows) + Math.sqrt(columns));
}
