/**
 * Eigenvalues and vectors of D + ρ z zᵀ, D diagonal: roots of the secular equation 1 + ρ Σⱼ zⱼ² / (dⱼ − λ) = 0, one between each two
 * neighbours of D (Bunch, Nielsen and Sorensen 1978; Li 1993), and vectors of the z that these roots are exact for, which
 * are orthogonal however close the roots are (Gu and Eisenstat 1994).
 */
import { EPSILON } from "./epsilon.ts";

/** Of one root; four to six are usual. */
const MOST_STEPS = 80;

/**
 * @param d [K] strictly ascending
 * @param z [K] none is 0; ‖z‖ = 1
 * @param rho > 0
 * @returns roots in ascending order, and their unit vectors as rows of [K, K]
 */
export function secularEigen(
  d: Float64Array,
  z: Float64Array,
  rho: number,
): { readonly values: Float64Array; readonly vectors: Float64Array } {
  const n = d.length;
  const values = new Float64Array(n);
  // dⱼ − λᵢ first: differences of λ from its neighbours, which λ itself no longer has.
  const vectors = new Float64Array(n * n);
  for (let i = 0; i < n; i++) values[i] = root(d, z, rho, i, vectors.subarray(i * n, (i + 1) * n));

  const squares = new Float64Array(n).fill(1);
  for (let i = 0; i < n; i++) {
    const row = i * n;
    const own = d[i]!;
    for (let j = 0; j < i; j++) squares[j]! *= vectors[row + j]! / (d[j]! - own);
    squares[i]! *= vectors[row + i]!;
    for (let j = i + 1; j < n; j++) squares[j]! *= vectors[row + j]! / (d[j]! - own);
  }
  const exact = squares.map((square, j) => (z[j]! < 0 ? -1 : 1) * Math.sqrt(Math.abs(square)));
  for (let i = 0; i < n; i++) {
    const row = i * n;
    let square = 0;
    for (let j = 0; j < n; j++) {
      const element = exact[j]! / vectors[row + j]!;
      vectors[row + j] = element;
      square += element * element;
    }
    const factor = 1 / Math.sqrt(square);
    for (let j = 0; j < n; j++) vectors[row + j]! *= factor;
  }
  return { values, vectors };
}

/** @param differences becomes dⱼ − λ @returns λ between d[i] and d[i + 1], or beyond the last */
function root(d: Float64Array, z: Float64Array, rho: number, i: number, differences: Float64Array): number {
  const n = d.length;
  if (n === 1) {
    differences[0] = -rho * z[0]! * z[0]!;
    return d[0]! - differences[0];
  }
  const inverse = 1 / rho;
  const isLast = i === n - 1;
  // Everything is measured from the pole that is nearer to the root: x = λ − origin.
  let origin = i;
  let [low, high] = [0, 0];
  let x: number;
  if (isLast) {
    let square = 0;
    for (let j = 0; j < n; j++) square += z[j]! * z[j]!;
    high = rho * square * (1 + 4 * EPSILON);
    x = high / 2;
  } else {
    const gap = d[i + 1]! - d[i]!;
    const half = gap / 2;
    let middle = inverse;
    for (let j = 0; j < n; j++) middle += (z[j]! * z[j]!) / (d[j]! - d[i]! - half);
    if (middle >= 0) high = half;
    else [origin, low] = [i + 1, -half];
    // As if all poles but these two were far away.
    const [own, next] = [z[i]! * z[i]!, z[i + 1]! * z[i + 1]!];
    const c = middle + (own - next) / half;
    const sum = (origin === i ? c : -c) * gap + own + next;
    const rest = (origin === i ? own : -next) * gap;
    const square = Math.sqrt(Math.max(0, sum * sum - 4 * rest * c));
    x = sum > 0 ? (2 * rest) / (sum + square) : (sum - square) / (2 * c);
    if (!(x > low && x < high)) x = (low + high) / 2;
  }
  for (let j = 0; j < n; j++) differences[j] = d[j]! - d[origin]!;
  // The two poles beside the root; of the last root both are on one side.
  const left = isLast ? n - 2 : i;
  const right = left + 1;
  for (let step = 0; step < MOST_STEPS; step++) {
    let [below, belowSlope, above, aboveSlope] = [0, 0, 0, 0];
    for (let j = 0; j < right; j++) {
      const term = z[j]! / (differences[j]! - x);
      below += z[j]! * term;
      belowSlope += term * term;
    }
    for (let j = right; j < n; j++) {
      const term = z[j]! / (differences[j]! - x);
      above += z[j]! * term;
      aboveSlope += term * term;
    }
    const value = inverse + below + above;
    const size = inverse + Math.abs(below) + Math.abs(above);
    if (Math.abs(value) <= 4 * EPSILON * (size + Math.abs(x) * (belowSlope + aboveSlope))) break;
    if (value < 0) low = x;
    else high = x;
    const next = x + stepTo(value, belowSlope, aboveSlope, differences[left]! - x, differences[right]! - x, isLast);
    const previous = x;
    x = next > low && next < high ? next : (low + high) / 2;
    if (Math.abs(x - previous) <= EPSILON * Math.abs(x) || x === low || x === high) break;
  }
  for (let j = 0; j < n; j++) differences[j]! -= x;
  return d[origin]! + x;
}

/**
 * Where c + s / (a − η) + t / (b − η) is 0, which has the value of the function at η = 0 and the slopes of its two halves: a, b are
 * the distances of the poles beside the root.
 */
function stepTo(value: number, slopeA: number, slopeB: number, a: number, b: number, isLast: boolean): number {
  const slope = value - a * slopeA - b * slopeB;
  const c = isLast ? Math.abs(slope) : slope;
  const sum = (a + b) * value - a * b * (slopeA + slopeB);
  const rest = a * b * value;
  const root = Math.sqrt(Math.max(0, sum * sum - 4 * rest * c));
  if (isLast) {
    return sum >= 0 ? (sum + root) / (2 * c) : (2 * rest) / (sum - root);
  }
  return sum <= 0 ? (sum - root) / (2 * c) : (2 * rest) / (sum + root);
}
