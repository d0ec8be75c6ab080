/**
 * Products of dense matrices in float64, in blocks that fit the caches (Goto and van de Geijn 2008): a block of A and one of B
 * are laid out as the innermost loop reads them, and each number that was fetched is used hundreds of times.
 */
import { ShapeError } from "../errors.ts";
import type { Columns } from "./columns.ts";
import type { Matrix } from "./matrix.ts";
import { Arena, type Kernels, TILE_COLUMNS, TILE_ROWS } from "./wasm/kernels.ts";

/** A matrix that lies in an array somehow. */
export interface View {
  readonly data: Float32Array | Float64Array;
  /** Of its first element. Default: 0. */
  readonly offset?: number;
  readonly rows: number;
  readonly columns: number;
  /** Distances in the array of neighbours in a column, and in a row. */
  readonly rowStride: number;
  readonly columnStride: number;
}

/** What becomes of the product. */
export interface Target {
  readonly data: Float64Array;
  readonly offset?: number;
  readonly rowStride: number;
  /** 0: it replaces what is there; else this times it is added. Default: 0. */
  readonly add?: number;
  /** Only elements on and below the diagonal are wanted; the others are left, or anything. Default: false. */
  readonly lower?: boolean;
}

const BYTES = 8;
/** Rows of A's block, columns of B's, and what they have in common: 1 MiB and 2 MiB. */
export const [MOST_ROWS, MOST_COLUMNS] = [512, 1024];
const MOST_DEPTH = 256;
/** Rows that are multiplied while they are in the fastest memory but one. */
const NEAR_ROWS = 128;
const AT_A = 0;
const AT_B = AT_A + MOST_ROWS * MOST_DEPTH;
const AT_C = AT_B + MOST_COLUMNS * MOST_DEPTH;
/** Of an {@link Arena}: what products need. What else is in it begins there. */
export const PRODUCT_LENGTH = AT_C + MOST_ROWS * MOST_COLUMNS;

let arena: Arena | undefined;

/** Where products are computed. It stays: making it costs more than a small product. */
export function productArena(): Arena {
  arena ??= new Arena(PRODUCT_LENGTH);
  return arena;
}

/** Target ← A B. */
export function product(A: View, B: View, { data, offset = 0, rowStride, add = 0, lower = false }: Target): void {
  const { kernels, numbers } = productArena();
  const depth = A.columns;
  for (let left = 0; left < B.columns; left += MOST_COLUMNS) {
    const columns = Math.min(MOST_COLUMNS, B.columns - left);
    const stride = roundUp(columns, TILE_COLUMNS);
    for (let top = 0; top < A.rows; top += MOST_ROWS) {
      const rows = Math.min(MOST_ROWS, A.rows - top);
      if (lower && top + rows <= left) continue;
      numbers.fill(0, AT_C, AT_C + roundUp(rows, TILE_ROWS) * stride);
      for (let from = 0; from < depth; from += MOST_DEPTH) {
        const count = Math.min(MOST_DEPTH, depth - from);
        packLeft(numbers, part(A, top, rows, from, count), { depth: count });
        packRight(numbers, part(turned(B), left, columns, from, count), { depth: count });
        const diagonal = lower ? left - top : -Infinity;
        addPanels(kernels, { rows, columns, depth: count, c: AT_C, stride, diagonal });
      }
      for (let i = 0; i < rows; i++) {
        const from = AT_C + i * stride;
        const to = offset + (top + i) * rowStride + left;
        const row = numbers.subarray(from, from + columns);
        if (add === 0) data.set(row, to);
        else for (let j = 0; j < columns; j++) data[to + j]! += add * row[j]!;
      }
    }
  }
}

/**
 * C += what has been packed of A, times what has been packed of B, both at the start of the arena.
 * @param sizes c: index in the arena; diagonal: tiles are left out whose rows are all smaller than their columns plus this
 */
export function addPanels(
  { panel }: Kernels,
  sizes: {
    readonly rows: number;
    readonly columns: number;
    readonly depth: number;
    readonly c: number;
    readonly stride: number;
    readonly diagonal: number;
  },
): void {
  const { rows, columns, depth, c, stride, diagonal } = sizes;
  for (let top = 0; top < rows; top += NEAR_ROWS) {
    const end = Math.min(rows, top + NEAR_ROWS);
    for (let left = 0; left < columns; left += TILE_COLUMNS) {
      const first = Math.max(top, Math.floor((left + diagonal) / TILE_ROWS) * TILE_ROWS);
      if (first >= end) break;
      panel(
        Math.ceil((end - first) / TILE_ROWS),
        depth,
        (AT_A + first * depth) * BYTES,
        (AT_B + left * depth) * BYTES,
        (c + first * stride + left) * BYTES,
        stride * BYTES,
      );
    }
  }
}

export interface Packing {
  /** At most 256. */
  readonly depth: number;
  /** Of what the view's first column becomes. Default: 0. */
  readonly begin?: number;
  /** Default: 1. */
  readonly factor?: number;
}

/** Lays out rows of A, at most {@link MOST_ROWS}, for {@link addPanels}. */
export function packLeft(numbers: Float64Array, view: View, packing: Packing): void {
  pack(numbers, AT_A, view, packing, TILE_ROWS);
}

/** Lays out columns of B, at most {@link MOST_COLUMNS}, which are the view's rows. */
export function packRight(numbers: Float64Array, view: View, packing: Packing): void {
  pack(numbers, AT_B, view, packing, TILE_COLUMNS);
}

/** `width` rows at a time: [rows / width, depth, width]; zeros fill the last ones. */
function pack(
  to: Float64Array,
  at: number,
  view: View,
  { depth, begin = 0, factor = 1 }: Packing,
  width: number,
): void {
  const { data, offset = 0, rows, columns, rowStride, columnStride } = view;
  for (let i = 0; i < rows; i += width) {
    const start = at + i * depth + begin * width;
    const there = Math.min(width, rows - i);
    if (there < width) to.fill(0, start, start + columns * width);
    const first = offset + i * rowStride;
    if (rowStride === 1) {
      for (let k = 0; k < columns; k++) {
        const next = start + k * width;
        const from = first + k * columnStride;
        for (let r = 0; r < there; r++) to[next + r] = factor * data[from + r]!;
      }
    } else {
      for (let r = 0; r < there; r++) {
        let next = start + r;
        let from = first + r * rowStride;
        for (let k = 0; k < columns; k++, next += width, from += columnStride) to[next] = factor * data[from]!;
      }
    }
  }
}

/** Rows `top` and more, columns `left` and more. */
function part(view: View, top: number, rows: number, left: number, columns: number): View {
  const { data, offset = 0, rowStride, columnStride } = view;
  return { data, offset: offset + top * rowStride + left * columnStride, rows, columns, rowStride, columnStride };
}

/** The transpose of a view. */
export function turned({ data, offset = 0, rows, columns, rowStride, columnStride }: View): View {
  return { data, offset, rows: columns, columns: rows, rowStride: columnStride, columnStride: rowStride };
}

export function viewOf({ rows, columns, data }: Matrix): View {
  return { data, rows, columns, rowStride: columns, columnStride: 1 };
}

export const roundUp = (length: number, unit: number): number => Math.ceil(length / unit) * unit;

/** A B */
export function multiply(A: Matrix, B: Matrix): Matrix & { readonly data: Float64Array } {
  return multiplied(viewOf(A), viewOf(B));
}

/** A Bᵀ */
export function multiplyTransposed(A: Matrix, B: Matrix): Matrix & { readonly data: Float64Array } {
  return multiplied(viewOf(A), turned(viewOf(B)));
}

/** Uᵀ V: row i has the products of uᵢ with each vⱼ. */
export function innerProducts(U: Columns, V: Columns): Matrix & { readonly data: Float64Array } {
  return multiplied(viewOf(rowsOf(U)), turned(viewOf(rowsOf(V))));
}

/** The vectors as rows. */
export function rowsOf(vectors: Columns): Matrix & { readonly data: Float64Array } {
  const columns = vectors[0]?.length ?? 0;
  const data = new Float64Array(vectors.length * columns);
  for (const [i, vector] of vectors.entries()) data.set(vector, i * columns);
  return { rows: vectors.length, columns, data };
}

/** A x for each x. */
export function timesEach(A: View, xs: Columns): Float64Array[] {
  const rows = rowsOf(xs);
  return rowVectors(multiplied(viewOf(rows), turned(A)));
}

/** Σᵢ weightsᵢ columnsᵢ for each vector of weights. */
export function combinations(columns: Columns, weights: Columns): Float64Array[] {
  return rowVectors(multiplied(viewOf(rowsOf(weights)), viewOf(rowsOf(columns))));
}

/** The rows of a matrix, an array each. */
export function rowVectors({ rows, columns, data }: Matrix): Float64Array[] {
  return Array.from({ length: rows }, (_, i) => new Float64Array(data.subarray(i * columns, (i + 1) * columns)));
}

/** The columns of a matrix, an array each. */
export function columnVectors({ rows, columns, data }: Matrix): Float64Array[] {
  return Array.from({ length: columns }, (_, j) => {
    const column = new Float64Array(rows);
    for (let i = 0, at = j; i < rows; i++, at += columns) column[i] = data[at]!;
    return column;
  });
}

/** A B */
export function multiplied(A: View, B: View): Matrix & { readonly data: Float64Array } {
  if (A.columns !== B.rows) {
    throw new ShapeError({
      what: "these matrices cannot be multiplied",
      got: `${A.rows} × ${A.columns} and ${B.rows} × ${B.columns}`,
    });
  }
  const data = new Float64Array(A.rows * B.columns);
  product(A, B, { data, rowStride: B.columns });
  return { rows: A.rows, columns: B.columns, data };
}
