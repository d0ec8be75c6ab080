/** Small samples, one number per seed: mean, spread, and how far a mean can be trusted. */

export interface Sample {
  readonly mean: number;
  /** Standard deviation, with n − 1; 0 for a single number. */
  readonly deviation: number;
  /** Of the mean: deviation / √n; infinite for a single number, of which nothing is known. */
  readonly error: number;
  readonly n: number;
}

/** @param values finite numbers, one or more; what is not finite is left out */
export function sampleOf(values: readonly number[]): Sample {
  const kept = values.filter((value) => Number.isFinite(value));
  const n = kept.length;
  const mean = meanOf(kept);
  const deviation = n < 2 ? 0 : Math.sqrt(kept.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1));
  return { mean, deviation, error: n < 2 ? Infinity : deviation / Math.sqrt(n), n };
}

/** NaN of nothing. */
export function meanOf(values: readonly number[]): number {
  return values.length === 0 ? NaN : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** `1 seed`, `3 seeds` */
export function seedsText(n: number): string {
  return `${n} seed${n === 1 ? "" : "s"}`;
}

/** `0.871 ± 0.012`: mean and standard deviation; without the latter for a single number. */
export function spreadOf(values: readonly number[], digits: number): string {
  const { mean, deviation, n } = sampleOf(values);
  if (n === 0) return "–";
  return n === 1 ? mean.toFixed(digits) : `${mean.toFixed(digits)} ± ${deviation.toFixed(digits)}`;
}
