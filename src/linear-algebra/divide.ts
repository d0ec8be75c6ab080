/**
 * All eigenvalues and vectors of a symmetric tridiagonal matrix by divide and conquer (Cuppen 1981; Gu and Eisenstat 1995): halves are
 * decomposed, and joined by a change of rank one, in products of matrices. 4/3 n³ operations, fewer where values or their vectors
 * hardly change and are left out. Vectors are orthogonal to rounding, however close their values are.
 */
import { EPSILON } from "./epsilon.ts";
import { product } from "./product.ts";
import { qlValues } from "./ql.ts";
import { secularEigen } from "./secular.ts";

const ROOT_HALF = Math.sqrt(0.5);

/** Smaller ones are decomposed at once. */
const SMALL = 24;

export interface Decomposition {
  readonly values: Float64Array;
  /** [n, n]: the vector of values[i] is row i. */
  readonly vectors: Float64Array;
  /** Indices of the values in ascending order. */
  readonly order: Uint32Array;
}

/** @param diagonal [n] @param beside [n − 1] */
export function divideAndConquer(diagonal: Float64Array, beside: Float64Array): Decomposition {
  const n = diagonal.length;
  let scale = 0;
  for (let i = 0; i < n; i++) scale = Math.max(scale, Math.abs(diagonal[i]!), Math.abs(beside[i] ?? 0));
  if (scale === 0) scale = 1;
  const whole: Whole = {
    n,
    values: diagonal.map((value) => value / scale),
    beside: beside.map((value) => value / scale),
    vectors: new Float64Array(n * n),
    order: new Uint32Array(n),
  };
  solve(whole, 0, n);
  for (let i = 0; i < n; i++) whole.values[i]! *= scale;
  return whole;
}

interface Whole extends Decomposition {
  readonly n: number;
  readonly beside: Float64Array;
}

/** Decomposes rows and columns from `begin` to `end`: values, vectors and order of that part, counted from `begin`. */
function solve(whole: Whole, begin: number, end: number): void {
  const { n, values, beside, vectors } = whole;
  if (end - begin > SMALL) {
    const middle = (begin + end) >> 1;
    const between = beside[middle - 1]!;
    values[middle - 1]! -= Math.abs(between);
    values[middle]! -= Math.abs(between);
    solve(whole, begin, middle);
    solve(whole, middle, end);
    join(whole, begin, middle, end, between);
    return;
  }
  for (let i = begin; i < end; i++) vectors[i * n + i] = 1;
  qlValues(values.subarray(begin, end), beside.subarray(begin, end - 1), (i, c, s) =>
    rotateRows(vectors, { x: (begin + i) * n, y: (begin + i + 1) * n, from: begin, to: end }, c, s),
  );
  sortRange(whole, begin, end);
}

interface Rows {
  /** Where they begin. */
  readonly x: number;
  readonly y: number;
  /** Columns. */
  readonly from: number;
  readonly to: number;
}

/** (x, y) ← (c x − s y, s x + c y) */
function rotateRows(data: Float64Array, { x, y, from, to }: Rows, c: number, s: number): void {
  for (let k = from; k < to; k++) {
    const [a, b] = [data[x + k]!, data[y + k]!];
    data[x + k] = c * a - s * b;
    data[y + k] = s * a + c * b;
  }
}

function sortRange({ values, order }: Whole, begin: number, end: number): void {
  const part = order.subarray(begin, end);
  for (let i = 0; i < part.length; i++) part[i] = i;
  part.sort((a, b) => values[begin + a]! - values[begin + b]!);
}

/** Which columns of a joined vector may be other than 0. */
type Reach = 0 | 1 | 2;
const [UPPER, BOTH, LOWER] = [0, 1, 2] as const;

function join(whole: Whole, begin: number, middle: number, end: number, between: number): void {
  const { n, values, vectors } = whole;
  const count = end - begin;
  const upper = middle - begin;
  // The halves are joined by |between| u uᵀ, u = (last axis of the upper one, ± first axis of the lower one); z = Vᵀ u / ‖u‖.
  const rho = 2 * Math.abs(between);
  const sorted = mergedOrder(whole, begin, middle, end);
  const d = new Float64Array(count);
  const z = new Float64Array(count);
  let largest = 0;
  for (const [k, i] of sorted.entries()) {
    d[k] = values[begin + i]!;
    const element =
      i < upper ? vectors[(begin + i) * n + middle - 1]! : Math.sign(between) * vectors[(begin + i) * n + middle]!;
    z[k] = element * ROOT_HALF;
    largest = Math.max(largest, Math.abs(d[k]), Math.abs(z[k]));
  }
  const tolerance = 4 * EPSILON * largest;

  // Values that stay, with the rows of their vectors, and those that change.
  const stay: number[] = [];
  const change: number[] = [];
  const reach: Reach[] = Array.from(sorted, (i) => (i < upper ? UPPER : LOWER));
  const row = (k: number): number => (begin + sorted[k]!) * n;
  let last = -1;
  for (let k = 0; k < count; k++) {
    if (rho * Math.abs(z[k]!) <= tolerance) {
      stay.push(k);
      continue;
    }
    if (last >= 0) {
      const length = Math.hypot(z[k]!, z[last]!);
      const [c, s] = [z[k]! / length, z[last]! / length];
      const [a, b] = [d[last]!, d[k]!];
      if (Math.abs((b - a) * c * s) <= tolerance) {
        // Two values that are as good as equal: their vectors are turned so that one of them stays.
        rotateRows(vectors, { x: row(last), y: row(k), from: begin, to: end }, c, s);
        z[k] = length;
        z[last] = 0;
        d[last] = a * c * c + b * s * s;
        d[k] = a * s * s + b * c * c;
        if (reach[last] !== reach[k]) reach[last] = reach[k] = BOTH;
        stay.push(last);
        last = k;
        continue;
      }
      change.push(last);
    }
    last = k;
  }
  if (last >= 0) change.push(last);

  const kept = stay.map((k) => ({ value: d[k]!, vector: vectors.slice(row(k) + begin, row(k) + end) }));
  if (change.length > 0) {
    const own = Float64Array.from(change, (k) => z[k]!);
    const length = Math.sqrt(own.reduce((sum, value) => sum + value * value, 0));
    const found = secularEigen(
      Float64Array.from(change, (k) => d[k]!),
      own.map((value) => value / length),
      rho * length * length,
    );
    const changed = change.length;
    // Columns of the vectors in the order of their reach, so that zeros are not multiplied.
    const grouped = change.map((_, j) => j).sort((a, b) => reach[change[a]!]! - reach[change[b]!]!);
    const among = (...kinds: Reach[]): number => change.filter((k) => kinds.includes(reach[k]!)).length;
    const S = new Float64Array(changed * changed);
    for (let i = 0, at = 0; i < changed; i++) {
      for (let j = 0; j < changed; j++, at++) S[at] = found.vectors[i * changed + grouped[j]!]!;
    }
    const gathered = (from: number, to: number, rows: readonly number[]): Float64Array => {
      const data = new Float64Array(rows.length * (to - from));
      for (const [i, j] of rows.entries()) {
        data.set(vectors.subarray(row(change[j]!) + from, row(change[j]!) + to), i * (to - from));
      }
      return data;
    };
    const withUpper = among(UPPER, BOTH);
    const withLower = among(BOTH, LOWER);
    const parts = [
      { from: begin, to: middle, first: 0, used: withUpper },
      { from: middle, to: end, first: changed - withLower, used: withLower },
    ].map((part) => ({
      ...part,
      rows: gathered(part.from, part.to, grouped.slice(part.first, part.first + part.used)),
    }));
    for (const { from, to, first, used, rows } of parts) {
      product(
        { data: S, offset: first, rows: changed, columns: used, rowStride: changed, columnStride: 1 },
        { data: rows, rows: used, columns: to - from, rowStride: to - from, columnStride: 1 },
        { data: vectors, offset: begin * n + from, rowStride: n },
      );
    }
    values.set(found.values, begin);
  }
  for (const [i, { value, vector }] of kept.entries()) {
    const at = begin + change.length + i;
    values[at] = value;
    vectors.set(vector, at * n + begin);
  }
  sortRange(whole, begin, end);
}

/** Indices of both halves, counted from `begin`, in ascending order of the values. */
function mergedOrder({ values, order }: Whole, begin: number, middle: number, end: number): Uint32Array {
  const result = new Uint32Array(end - begin);
  let [i, j] = [begin, middle];
  const upper = middle - begin;
  for (let k = 0; k < result.length; k++) {
    const fromUpper = j >= end || (i < middle && values[begin + order[i]!]! <= values[middle + order[j]!]!);
    result[k] = fromUpper ? order[i++]! : upper + order[j++]!;
  }
  return result;
}
