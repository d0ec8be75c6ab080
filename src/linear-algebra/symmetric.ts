/**
 * The largest eigenvalues of a symmetric matrix, and their vectors: Householder reflections make it tridiagonal, bisection
 * finds the values there, inverse iteration the vectors (Golub and Van Loan, Matrix Computations, §8.3-8.4; Barth, Martin and
 * Wilkinson 1967). In float64; values are right to about 1e-15 of the largest magnitude.
 *
 * It takes 4/3 n³ operations for the reflections, and 60 n for each value, 2 n² for each vector.
 */
import { Random } from "../random.ts";
import { dot, norm, subtract } from "./columns.ts";

export interface Eigen {
  /** In descending order. */
  readonly values: Float64Array;
  /** Orthonormal, [n] each. */
  readonly vectors: readonly Float64Array[];
}

/** Halvings of an interval that holds all eigenvalues: to the last bit of the largest. */
const HALVINGS = 62;
/** Each multiplies what is left of other vectors by (rounding / distance of the values). */
const INVERSE_STEPS = 3;

/**
 * @param matrix [n, n] row-major; only the lower triangle is read. It is overwritten
 * @param count how many of the largest; default: all
 * @param vectors whether vectors are wanted; default: true
 */
export function largestEigen(
  matrix: Float64Array,
  n: number,
  { count = n, vectors = true }: { readonly count?: number; readonly vectors?: boolean } = {},
): Eigen {
  const { diagonal, beside, reflections } = tridiagonal(matrix, n);
  const values = largestValues(diagonal, beside, Math.min(count, n));
  if (!vectors) return { values, vectors: [] };
  const found = tridiagonalVectors(diagonal, beside, values);
  for (const vector of found) reflectBack(vector, reflections);
  return { values, vectors: found };
}

interface Tridiagonal {
  readonly diagonal: Float64Array;
  /** beside[i] is between i and i + 1. */
  readonly beside: Float64Array;
  /** Unit vectors of the reflections, the k-th for the elements after k; undefined where there was nothing to do. */
  readonly reflections: readonly (Float64Array | undefined)[];
}

function tridiagonal(G: Float64Array, n: number): Tridiagonal {
  const beside = new Float64Array(Math.max(0, n - 1));
  const reflections: (Float64Array | undefined)[] = [];
  for (let k = 0; k < n - 2; k++) {
    const m = n - k - 1;
    const v = new Float64Array(m);
    for (let i = 0; i < m; i++) v[i] = G[(k + 1 + i) * n + k]!;
    const length = norm(v);
    const first = v[0]!;
    beside[k] = length === 0 ? 0 : first > 0 ? -length : length;
    v[0]! -= beside[k]!;
    const reach = norm(v);
    if (length === 0 || reach === 0) {
      beside[k] = first;
      reflections.push(undefined);
      continue;
    }
    for (let i = 0; i < m; i++) v[i]! /= reach;
    reflections.push(v);
    reflectBothSides(G, n, k + 1, v);
  }
  if (n > 1) beside[n - 2] = G[(n - 1) * n + n - 2]!;
  return { diagonal: Float64Array.from({ length: n }, (_, i) => G[i * n + i]!), beside, reflections };
}

/** G ← H G H with H = 1 − 2 v vᵀ, for the rows and columns from `from` on; the lower triangle. */
function reflectBothSides(G: Float64Array, n: number, from: number, v: Float64Array): void {
  const m = v.length;
  const p = new Float64Array(m);
  for (let i = 0; i < m; i++) {
    const row = (from + i) * n + from;
    const vi = v[i]!;
    let sum = 0;
    for (let j = 0; j < i; j++) {
      const g = G[row + j]!;
      sum += g * v[j]!;
      p[j]! += g * vi;
    }
    p[i]! += sum + G[row + i]! * vi;
  }
  // w = 2 p − 2 (vᵀ p) v; G ← G − v wᵀ − w vᵀ
  const along = 2 * dot(v, p);
  const w = p.map((value, i) => 2 * value - along * v[i]!);
  for (let i = 0; i < m; i++) {
    const row = (from + i) * n + from;
    const [vi, wi] = [v[i]!, w[i]!];
    for (let j = 0; j <= i; j++) G[row + j]! -= vi * w[j]! + wi * v[j]!;
  }
}

/** Multiplies by the reflections, the last one first. */
function reflectBack(vector: Float64Array, reflections: readonly (Float64Array | undefined)[]): void {
  for (let k = reflections.length - 1; k >= 0; k--) {
    const v = reflections[k];
    if (v === undefined) continue;
    let along = 0;
    for (let i = 0; i < v.length; i++) along += v[i]! * vector[k + 1 + i]!;
    for (let i = 0; i < v.length; i++) vector[k + 1 + i]! -= 2 * along * v[i]!;
  }
}

/** By Gershgorin no eigenvalue is larger in magnitude. */
function bound(diagonal: Float64Array, beside: Float64Array): number {
  let largest = 0;
  for (let i = 0; i < diagonal.length; i++) {
    const around = Math.abs(beside[i - 1] ?? 0) + Math.abs(beside[i] ?? 0);
    largest = Math.max(largest, Math.abs(diagonal[i]!) + around);
  }
  return largest;
}

function largestValues(diagonal: Float64Array, beside: Float64Array, count: number): Float64Array {
  const n = diagonal.length;
  const limit = bound(diagonal, beside);
  const values = new Float64Array(count);
  if (limit === 0) return values;
  const squares = beside.map((value) => value * value);
  const tiny = limit * Number.EPSILON * Number.EPSILON;
  /** How many eigenvalues are below x: signs of the pivots of T − x (Sylvester). */
  const below = (x: number) => {
    let [found, pivot] = [0, 1];
    for (let i = 0; i < n; i++) {
      pivot = diagonal[i]! - x - (i === 0 ? 0 : squares[i - 1]! / pivot);
      if (Math.abs(pivot) < tiny) pivot = -tiny;
      if (pivot < 0) found++;
    }
    return found;
  };
  let above = limit * (1 + 4 * Number.EPSILON);
  for (let k = 0; k < count; k++) {
    let [low, high] = [-limit * (1 + 4 * Number.EPSILON), above];
    for (let step = 0; step < HALVINGS; step++) {
      const middle = (low + high) / 2;
      if (middle === low || middle === high) break;
      if (below(middle) <= n - 1 - k) low = middle;
      else high = middle;
    }
    values[k] = (low + high) / 2;
    above = high;
  }
  return values;
}

/** Vectors of T = tridiag(beside, diagonal, beside) for its eigenvalues, largest first. */
function tridiagonalVectors(diagonal: Float64Array, beside: Float64Array, values: Float64Array): Float64Array[] {
  const n = diagonal.length;
  const limit = bound(diagonal, beside);
  const found: Float64Array[] = [];
  const random = new Random(0);
  for (const [k, value] of values.entries()) {
    if (limit === 0) {
      found.push(Float64Array.from({ length: n }, (_, i) => (i === k ? 1 : 0)));
      continue;
    }
    const solve = shiftedSolver(diagonal, beside, value, limit * Number.EPSILON);
    const vector = Float64Array.from({ length: n }, () => random.normal());
    for (let step = 0; step < INVERSE_STEPS; step++) {
      solve(vector);
      normalize(vector);
      // Values that are close share a space: twice, as in `qr`.
      for (let pass = 0; pass < 2; pass++) for (const other of found) subtract(vector, other, dot(other, vector));
      normalize(vector);
    }
    found.push(vector);
  }
  return found;
}

function normalize(vector: Float64Array): void {
  const length = norm(vector);
  for (let i = 0; i < vector.length; i++) vector[i]! /= length;
}

/**
 * Solves (T − shift) y = b in the place of b, by elimination with exchanges of neighbouring rows.
 * @param tiny stands for pivots that vanish
 */
function shiftedSolver(
  diagonal: Float64Array,
  beside: Float64Array,
  shift: number,
  tiny: number,
): (b: Float64Array) => void {
  const n = diagonal.length;
  // Row i after elimination: pivot[i], next[i], second[i] in the columns i, i + 1, i + 2.
  const [pivot, next, second] = [new Float64Array(n), new Float64Array(n), new Float64Array(n)];
  const factor = new Float64Array(n);
  const exchanged = new Uint8Array(n);
  let [p, q] = [diagonal[0]! - shift, beside[0] ?? 0];
  for (let i = 0; i < n - 1; i++) {
    const [a, b, c] = [beside[i]!, diagonal[i + 1]! - shift, beside[i + 1] ?? 0];
    if (Math.abs(a) > Math.abs(p)) {
      exchanged[i] = 1;
      factor[i] = p / a;
      [pivot[i], next[i], second[i]] = [a, b, c];
      [p, q] = [q - factor[i]! * b, -factor[i]! * c];
    } else {
      if (Math.abs(p) < tiny) p = tiny;
      factor[i] = a / p;
      [pivot[i], next[i], second[i]] = [p, q, 0];
      [p, q] = [b - factor[i]! * q, c];
    }
  }
  pivot[n - 1] = Math.abs(p) < tiny ? tiny : p;
  return (b) => {
    for (let i = 0; i < n - 1; i++) {
      if (exchanged[i] === 1) [b[i], b[i + 1]] = [b[i + 1]!, b[i]!];
      b[i + 1]! -= factor[i]! * b[i]!;
    }
    for (let i = n - 1; i >= 0; i--) {
      const rest = b[i]! - next[i]! * (b[i + 1] ?? 0) - second[i]! * (b[i + 2] ?? 0);
      b[i] = rest / pivot[i]!;
    }
  };
}
