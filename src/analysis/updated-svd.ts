/**
 * The first singular values and vectors of W₀ + Σ bᵢ aᵢᵀ, where those of W₀ are known: what an adapter makes of a weight, at the
 * price of a few thin products instead of a decomposition.
 *
 * In the coordinates of W₀'s singular vectors, and of a basis of what b and a have outside of their span, the matrix is a
 * diagonal and a product of thin factors: multiplying a vector takes 2 r (rows + columns) operations. Golub-Kahan-Lanczos
 * bidiagonalisation (Golub and Van Loan, Matrix Computations, §10.4) with every vector made orthogonal to all before finds the
 * largest values, to a residual of 1e-10 σ₁. And a coordinate is a cosine: that of the tuned vector with a vector of the base.
 *
 * Of exactly equal values it may find fewer than there are; matrices of measured numbers have none.
 */
import { type Columns, dot, norm, qr, subtract } from "../linear-algebra/columns.ts";
import { innerProducts, rowVectors } from "../linear-algebra/product.ts";
import { type Svd, svd } from "../linear-algebra/svd.ts";
import { Random } from "../random.ts";

export interface UpdatedSvd {
  /** In descending order. */
  readonly values: Float64Array;
  /** Coordinates of the left vectors: the first `baseVectors` are cosines with the base's left vectors. */
  readonly left: Columns;
  readonly right: Columns;
  /** Of the base that have a σ above 0. */
  readonly baseVectors: number;
}

/** Of σ₁: what may be left of M v − σ u. */
const RESIDUAL = 1e-10;
/** Of a vector: what is left of one that lies in a span. */
const INSIDE = 1e-12;
/** Of a vector: what is left where the rounding of the rest is small beside it. */
const MUCH = 0.7;

/**
 * @param base all of the thin decomposition of W₀
 * @param B bᵢ, [out] each
 * @param A aᵢ, [in] each, as many
 * @param rank how many are wanted; fewer where the matrix has fewer
 */
export function updatedSvd(
  base: Svd,
  { B, A }: { readonly B: Columns; readonly A: Columns },
  rank: number,
): UpdatedSvd {
  const n = base.values.filter((value) => value > 0).length;
  const left = coordinates(base.left.slice(0, n), B);
  const right = coordinates(base.right.slice(0, n), A);
  const diagonal = base.values.subarray(0, n);
  /** Σ x + to (fromᵀ x) */
  const times = (x: Float64Array, from: Columns, to: Columns): Float64Array => {
    const y = new Float64Array(to[0]?.length ?? n);
    for (let i = 0; i < n; i++) y[i] = diagonal[i]! * x[i]!;
    for (const [k, column] of from.entries()) subtract(y, to[k]!, -dot(column, x));
    return y;
  };
  const found = lanczos(
    (x) => times(x, right, left),
    (y) => times(y, left, right),
    left[0]?.length ?? n,
    right[0]?.length ?? n,
    rank,
  );
  return { ...found, baseVectors: n };
}

/** Each vector as its products with `basis`, then those with an orthonormal basis of what is left of all of them. */
function coordinates(basis: Columns, vectors: Columns): Columns {
  const isEmpty = basis.length === 0 || vectors.length === 0;
  const inside = isEmpty ? vectors.map(() => new Float64Array()) : rowVectors(innerProducts(vectors, basis));
  const outside = vectors.map((vector, i) => {
    const rest = Float64Array.from(vector);
    for (const [j, direction] of basis.entries()) subtract(rest, direction, inside[i]![j]!);
    return norm(rest) <= INSIDE * norm(vector) ? rest.fill(0) : rest;
  });
  if (basis.length >= (vectors[0]?.length ?? 0) || outside.every((rest) => norm(rest) === 0)) return inside;
  const { R } = qr(outside);
  return inside.map((known, i) => Float64Array.of(...known, ...R[i]!));
}

function lanczos(
  forward: (x: Float64Array) => Float64Array,
  backward: (y: Float64Array) => Float64Array,
  rows: number,
  columns: number,
  rank: number,
): Omit<UpdatedSvd, "baseVectors"> {
  const most = Math.min(rows, columns);
  const wanted = Math.min(rank, most);
  if (wanted === 0) return { values: new Float64Array(), left: [], right: [] };
  const random = new Random(0);
  const [U, V]: [Float64Array[], Float64Array[]] = [[], []];
  /** α on the diagonal, β right of it. */
  const [alpha, beta]: [number[], number[]] = [[], []];
  V.push(newDirection(V, columns, random));
  for (let look = Math.max(3 * wanted, 24); ; look = Math.ceil(1.5 * look)) {
    const steps = Math.min(look, most);
    while (U.length < steps) {
      const j = U.length;
      const u = forward(V[j]!);
      if (j > 0) subtract(u, U[j - 1]!, beta[j - 1]!);
      alpha.push(unit(u, U));
      U.push(alpha[j] === 0 ? newDirection(U, rows, random) : u);
      const v = backward(U[j]!);
      subtract(v, V[j]!, alpha[j]!);
      beta.push(unit(v, V));
      if (V.length < columns) V.push(beta[j] === 0 ? newDirection(V, columns, random) : v);
    }
    const small = svd(bidiagonal(alpha, beta));
    const tolerance = RESIDUAL * small.values[0]!;
    const left = beta[steps - 1]!;
    const isDone = small.left.slice(0, wanted).every((x) => left * Math.abs(x[steps - 1]!) <= tolerance);
    if (isDone || steps === most) {
      return {
        values: small.values.slice(0, wanted),
        left: small.left.slice(0, wanted).map((x) => sumOf(U, x)),
        right: small.right.slice(0, wanted).map((y) => sumOf(V, y)),
      };
    }
  }
}

/** Makes it orthogonal to the others, and of length 1. @returns its length before that; 0: nothing is left of it */
function unit(vector: Float64Array, others: Columns): number {
  const before = norm(vector);
  let length = before;
  // Again where much was taken away: twice is enough (Giraud, Langou and Rozložník 2005).
  for (let pass = 0, last = Infinity; pass < 2 && length < MUCH * last; pass++) {
    last = length;
    for (const other of others) subtract(vector, other, dot(other, vector));
    length = norm(vector);
  }
  if (length <= INSIDE * before) return 0;
  for (let i = 0; i < vector.length; i++) vector[i]! /= length;
  return length;
}

function newDirection(others: Columns, length: number, random: Random): Float64Array {
  for (;;) {
    const vector = Float64Array.from({ length }, () => random.normal());
    if (others.length >= length) return new Float64Array(length);
    if (unit(vector, others) > 0) return vector;
  }
}

function bidiagonal(
  alpha: readonly number[],
  beta: readonly number[],
): { rows: number; columns: number; data: Float64Array } {
  const n = alpha.length;
  const data = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    data[i * n + i] = alpha[i]!;
    if (i + 1 < n) data[i * n + i + 1] = beta[i]!;
  }
  return { rows: n, columns: n, data };
}

function sumOf(columns: Columns, weights: Float64Array): Float64Array {
  const sum = new Float64Array(columns[0]!.length);
  for (const [i, weight] of weights.entries()) subtract(sum, columns[i]!, -weight);
  return sum;
}
