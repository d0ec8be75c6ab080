/**
 * Singular values of a tall matrix X [m, n] through its Gram matrix Xᵀ X, and what that loses through those of smaller ones: see
 * svd.ts.
 */
import type { Columns } from "./columns.ts";
import { EPSILON } from "./epsilon.ts";
import { product, turned, type View } from "./product.ts";
import { symmetricEigen } from "./symmetric.ts";

/** X = Σ valuesᵢ largeᵢ smallᵢᵀ */
export interface Triplets {
  /** In descending order. */
  readonly values: Float64Array;
  /** [n] each; zero where the value is; none if they are not wanted. */
  readonly small: Columns;
  /** [m] each; as before. */
  readonly large: Columns;
}

/** Of the largest value: smaller ones have lost too much. Their squares are right to 1e-8 of themselves there. */
const LOSSY = 2 ** -12;
/** Of the largest value: larger ones are right even if what the largest ones say of their vectors is not taken out. */
const ALONE = 2 ** -20;
/** Of all values: so many vectors of small ones take less time than those of all. */
const FEW = 1 / 8;
/** Vectors that are multiplied by X at a time. */
const CHUNK = 256;

interface Wanted {
  /** Of the largest values; more than there are: all. */
  readonly count: number;
  readonly withVectors: boolean;
  /** Values up to this are 0. Default: rounding. */
  readonly floor?: number;
}

/** @param X rows ≥ columns */
export function decompose(X: View, { count, withVectors, floor }: Wanted): Triplets {
  const { rows: m, columns: n } = X;
  const wanted = Math.min(count, n);
  if (wanted === 0) return { values: new Float64Array(), small: [], large: [] };
  const gram = new Float64Array(n * n);
  product(turned(X), X, { data: gram, rowStride: n, lower: true });
  const eigen = symmetricEigen(gram, n);
  const values = eigen.values.slice(0, wanted).map((square) => Math.sqrt(Math.max(0, square)));
  const largest = values[0]!;
  const nothing = floor ?? 4 * EPSILON * Math.sqrt(m) * largest;
  const limit = Math.max(nothing, LOSSY * largest);
  const first = values.findIndex((value) => value <= limit);
  const settled = first < 0 ? wanted : first;
  if (settled === wanted && !withVectors) return { values, small: [], large: [] };
  if (settled === 0) return zeros(X, wanted, withVectors);
  const rest = n - settled;
  if (!withVectors && rest <= n * FEW) {
    const own: View = {
      data: timesX(X, eigen.smallest(rest), rest),
      rows: rest,
      columns: m,
      rowStride: m,
      columnStride: 1,
    };
    const small = decompose(turned(own), { count: rest, withVectors, floor: nothing });
    if (small.values.at(-1)! > ALONE * largest) {
      values.set(small.values, settled);
      return { values: values.sort().reverse(), small: [], large: [] };
    }
  }

  const vectors = eigen.vectors(settled === wanted ? wanted : n);
  const top = leading(X, vectors, settled);
  if (settled === wanted) return top;
  return withRest(X, vectors, top, { count: wanted, withVectors, floor: nothing });
}

/** The values and vectors of the first rows of `vectors`. */
function leading(X: View, vectors: Float64Array, count: number): Triplets {
  const n = X.columns;
  const found: { readonly value: number; readonly small: Float64Array; readonly large: Float64Array }[] = [];
  for (let begin = 0; begin < count; begin += CHUNK) {
    const rows = Math.min(CHUNK, count - begin);
    const large = timesX(X, vectors.subarray(begin * n, (begin + rows) * n), rows);
    for (let i = 0; i < rows; i++) {
      const column = large.slice(i * X.rows, (i + 1) * X.rows);
      // Errors of the vector count by their squares here, and not in the eigenvalue.
      const value = normalize(column);
      found.push({ value, small: vectors.slice((begin + i) * n, (begin + i + 1) * n), large: column });
    }
  }
  found.sort((a, b) => b.value - a.value);
  return {
    values: Float64Array.from(found, ({ value }) => value),
    small: found.map(({ small }) => small),
    large: found.map(({ large }) => large),
  };
}

/** Adds those of X on the vectors behind `top`'s. */
function withRest(X: View, vectors: Float64Array, top: Triplets, wanted: Required<Wanted>): Triplets {
  const { rows: m, columns: n } = X;
  const settled = top.values.length;
  const rest = n - settled;
  const own = vectors.subarray(settled * n);
  const Y = timesX(X, own, rest);
  // What rounding has left of the larger ones would count as much as the small ones.
  const U: View = { data: flat(top.large, m), rows: settled, columns: m, rowStride: m, columnStride: 1 };
  const along = new Float64Array(rest * settled);
  const rows: View = { data: Y, rows: rest, columns: m, rowStride: m, columnStride: 1 };
  product(rows, turned(U), { data: along, rowStride: settled });
  product({ data: along, rows: rest, columns: settled, rowStride: settled, columnStride: 1 }, U, {
    data: Y,
    rowStride: m,
    add: -1,
  });
  const bottom = decompose(turned(rows), { ...wanted, count: wanted.count - settled });
  const values = new Float64Array(wanted.count);
  values.set(top.values);
  values.set(bottom.values, settled);
  if (!wanted.withVectors) return { values, small: [], large: [] };
  const small = new Float64Array(bottom.small.length * n);
  product(
    { data: flat(bottom.small, rest), rows: bottom.small.length, columns: rest, rowStride: rest, columnStride: 1 },
    { data: own, rows: rest, columns: n, rowStride: n, columnStride: 1 },
    { data: small, rowStride: n },
  );
  return {
    values,
    small: [...top.small, ...bottom.small.map((_, i) => small.slice(i * n, (i + 1) * n))],
    large: [...top.large, ...bottom.large],
  };
}

/** X v for each row v. */
function timesX(X: View, vectors: Float64Array, count: number): Float64Array {
  const { rows: m, columns: n } = X;
  const data = new Float64Array(count * m);
  product({ data: vectors, rows: count, columns: n, rowStride: n, columnStride: 1 }, turned(X), { data, rowStride: m });
  return data;
}

function zeros({ rows, columns }: View, count: number, withVectors: boolean): Triplets {
  const of = (length: number) => Array.from({ length: withVectors ? count : 0 }, () => new Float64Array(length));
  return { values: new Float64Array(count), small: of(columns), large: of(rows) };
}

function flat(vectors: Columns, length: number): Float64Array {
  const data = new Float64Array(vectors.length * length);
  for (const [i, vector] of vectors.entries()) data.set(vector, i * length);
  return data;
}

/** @returns the length that it had */
function normalize(vector: Float64Array): number {
  let square = 0;
  for (let i = 0; i < vector.length; i++) square += vector[i]! * vector[i]!;
  const length = Math.sqrt(square);
  for (let i = 0; i < vector.length; i++) vector[i]! /= length;
  return length;
}
