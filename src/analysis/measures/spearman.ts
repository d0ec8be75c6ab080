/**
 * Rank correlation (Spearman 1904): Pearson's correlation of the ranks, ties with their mean rank.
 *
 * p is that of no relation against any: of few pairs exactly, from all orders of the one list; of more from Student's t with
 * n − 2 degrees of freedom, t = ρ √((n − 2) / (1 − ρ²)), as SciPy's `spearmanr` gives it for any number.
 */
import { ConfigError } from "../../errors.ts";

export interface Spearman {
  /** From −1 to 1; NaN where all of a list are equal. */
  readonly rho: number;
  /** Two-sided. */
  readonly p: number;
  /** Pairs. */
  readonly n: number;
  readonly method: "exact" | "t";
}

/** 9! = 362,880 orders take a few hundredths of a second. */
const EXACT_UP_TO = 9;
/** Correlations of two orders that are equal but for rounding. */
const SAME = 1e-12;

/**
 * @param method default: exact up to 9 pairs, else t
 * @throws ConfigError for fewer than 3 pairs, lists of two lengths, values that are not finite, or an exact p of more than 10
 */
export function spearman(x: readonly number[], y: readonly number[], method?: "exact" | "t"): Spearman {
  const n = x.length;
  const problem =
    n !== y.length
      ? `lists of ${n} and ${y.length} values`
      : n < 3
        ? `${n} pairs, at least 3 are needed`
        : ![...x, ...y].every(Number.isFinite)
          ? "a value is not finite"
          : method === "exact" && n > EXACT_UP_TO + 1
            ? `an exact p for ${n} pairs would take too long`
            : undefined;
  if (problem !== undefined) throw new ConfigError({ where: "spearman", what: problem });
  const way = method ?? (n <= EXACT_UP_TO ? "exact" : "t");
  const [a, b] = [centred(ranks(x)), centred(ranks(y))];
  const size = Math.sqrt(dot(a, a) * dot(b, b));
  if (size === 0) return { rho: NaN, p: NaN, n, method: way };
  const rho = Math.max(-1, Math.min(1, dot(a, b) / size));
  return { rho, p: way === "exact" ? exactP(a, b, Math.abs(dot(a, b))) : studentP(rho, n), n, method: way };
}

/** From 1; equal values share the mean of their ranks. */
export function ranks(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((i, j) => values[i]! - values[j]!);
  const result = values.map(() => 0);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++;
    for (let i = start; i < end; i++) result[order[i]!] = (start + 1 + end) / 2;
    start = end;
  }
  return result;
}

/** Share of the orders of b whose |⟨a, b⟩| is at least what was found (Heap's algorithm). */
function exactP(a: readonly number[], b: readonly number[], found: number): number {
  const n = b.length;
  const order = [...b];
  const counters = order.map(() => 0);
  const limit = found - SAME * Math.max(1, found);
  let [all, extreme] = [0, 0];
  const look = () => {
    all++;
    if (Math.abs(dot(a, order)) >= limit) extreme++;
  };
  look();
  for (let i = 1; i < n;) {
    if (counters[i]! >= i) {
      counters[i++] = 0;
      continue;
    }
    const j = i % 2 === 0 ? 0 : counters[i]!;
    [order[i], order[j]] = [order[j]!, order[i]!];
    look();
    counters[i]!++;
    i = 1;
  }
  return extreme / all;
}

/** Two-sided p of Student's t: the regularised incomplete beta function I_z(ν/2, 1/2), z = ν / (ν + t²) = 1 − ρ². */
function studentP(rho: number, n: number): number {
  return incompleteBeta((n - 2) / 2, 0.5, 1 - rho * rho);
}

/** I_x(a, b), by its continued fraction (Abramowitz and Stegun 26.5.8, evaluated as by Lentz 1976). */
function incompleteBeta(a: number, b: number, x: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The fraction converges fast below this point; above it, by symmetry.
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(b, a, 1 - x);
  const tiny = 1e-300;
  let [c, d] = [1, 1 - ((a + b) * x) / (a + 1)];
  d = 1 / (Math.abs(d) < tiny ? tiny : d);
  let fraction = d;
  for (let m = 1; m <= 1000; m++) {
    let last = 1;
    for (const coefficient of [
      (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m)),
      (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1)),
    ]) {
      d = 1 + coefficient * d;
      d = 1 / (Math.abs(d) < tiny ? tiny : d);
      c = 1 + coefficient / c;
      if (Math.abs(c) < tiny) c = tiny;
      last = c * d;
      fraction *= last;
    }
    if (Math.abs(last - 1) < 1e-15) break;
  }
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
  return (front * fraction) / a;
}

/** ln Γ(x) for x > 0: Stirling's series from 10 on, below by Γ(x) = Γ(x + 1) / x; right to about 1e-15 of ln Γ. */
function logGamma(x: number): number {
  let shift = 0;
  let z = x;
  for (; z < 10; z++) shift += Math.log(z);
  const w = 1 / (z * z);
  const series = 1 / 12 - w * (1 / 360 - w * (1 / 1260 - w * (1 / 1680 - w * (1 / 1188 - (w * 691) / 360360))));
  return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series / z - shift;
}

function centred(values: readonly number[]): number[] {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.map((value) => value - mean);
}

function dot(x: readonly number[], y: readonly number[]): number {
  return x.reduce((sum, value, i) => sum + value * y[i]!, 0);
}
