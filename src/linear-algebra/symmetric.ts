/**
 * The largest eigenvalues of a symmetric matrix, and their vectors: Householder reflections make it tridiagonal; there, QL steps
 * find all values, divide and conquer all values and vectors, and bisection and inverse iteration a few of them (Golub and Van Loan,
 * Matrix Computations, §8.3-8.4; Barth, Martin and Wilkinson 1967). In float64; values are right to about 1e-15 of the largest
 * magnitude.
 *
 * It takes 4/3 n³ operations for the reflections, as much at most for all vectors of the tridiagonal matrix, and 2 n² for each
 * vector to turn it back.
 */
import { Random } from "../random.ts";
import { dot, norm, subtract } from "./columns.ts";
import { divideAndConquer } from "./divide.ts";
import { EPSILON } from "./epsilon.ts";
import { rowsOf } from "./product.ts";
import { qlValues } from "./ql.ts";
import { reflectBack } from "./reflect.ts";
import { tridiagonal } from "./tridiagonal.ts";

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

/** Up to this part of all, each vector by itself takes less time than all by divide and conquer. */
const FEW = 1 / 8;

/** All eigenvalues, and vectors for those who ask. */
export interface LazyEigen {
  /** In descending order. */
  readonly values: Float64Array;
  /** Of the largest values, as rows: [count, n]. */
  vectors(count: number): Float64Array;
  /** Of the smallest values, of a few; the smallest first. */
  smallest(count: number): Float64Array;
}

/** @param matrix [n, n] row-major; only the lower triangle is read */
export function symmetricEigen(matrix: Float64Array, n: number): LazyEigen {
  const { diagonal, beside, reflections } = tridiagonal(matrix, n);
  const values = Float64Array.from(diagonal);
  qlValues(values, beside);
  values.sort().reverse();
  return {
    values,
    vectors(count) {
      const rows = count <= n * FEW ? fewVectors(diagonal, beside, count) : manyVectors(diagonal, beside, count);
      reflectBack(rows, count, n, reflections);
      return rows;
    },
    smallest(count) {
      // The largest ones of −T.
      const negative = (array: Float64Array) => array.map((value) => -value);
      const rows = fewVectors(negative(diagonal), negative(beside), count);
      reflectBack(rows, count, n, reflections);
      return rows;
    },
  };
}

/**
 * @param matrix [n, n] row-major; only the lower triangle is read
 * @param count how many of the largest; default: all
 */
export function largestEigen(matrix: Float64Array, n: number, { count = n }: { readonly count?: number } = {}): Eigen {
  const wanted = Math.min(count, n);
  const eigen = symmetricEigen(matrix, n);
  const rows = eigen.vectors(wanted);
  return {
    values: eigen.values.slice(0, wanted),
    vectors: Array.from({ length: wanted }, (_, i) => rows.slice(i * n, (i + 1) * n)),
  };
}

function fewVectors(diagonal: Float64Array, beside: Float64Array, count: number): Float64Array {
  return rowsOf(tridiagonalVectors(diagonal, beside, largestValues(diagonal, beside, count))).data;
}

function manyVectors(diagonal: Float64Array, beside: Float64Array, count: number): Float64Array {
  const n = diagonal.length;
  const { vectors, order } = divideAndConquer(diagonal, beside);
  const rows = new Float64Array(count * n);
  for (let i = 0; i < count; i++) {
    const from = order[n - 1 - i]! * n;
    rows.set(vectors.subarray(from, from + n), i * n);
  }
  return rows;
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
  const tiny = limit * EPSILON * EPSILON;
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
  let above = limit * (1 + 4 * EPSILON);
  for (let k = 0; k < count; k++) {
    let [low, high] = [-limit * (1 + 4 * EPSILON), above];
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
    const solve = shiftedSolver(diagonal, beside, value, limit * EPSILON);
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
