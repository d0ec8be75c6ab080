/**
 * Q T Qᵀ of a symmetric matrix, T tridiagonal, by Householder reflections (Golub and Van Loan, Matrix Computations, §8.3), in panels
 * (Dongarra, Hammarling and Sorensen 1989): the matrix changes once per panel, by a product; half of the 4/3 n³ operations are
 * in it, the other half in products of the matrix with one vector each.
 */
import {
  addPanels,
  MOST_COLUMNS,
  MOST_ROWS,
  packLeft,
  packRight,
  PRODUCT_LENGTH,
  roundUp,
  type View,
} from "./product.ts";
import { Arena, BLOCK } from "./wasm/kernels.ts";

/** Unit vectors, the k-th for the elements after k; undefined where there was nothing to do. */
export type Reflections = readonly (Float64Array | undefined)[];

export interface Tridiagonal {
  readonly diagonal: Float64Array;
  /** beside[i] is between i and i + 1. */
  readonly beside: Float64Array;
  readonly reflections: Reflections;
}

/** Columns of a panel: within one, corrections grow with its square; between them, products want depth. */
const PANEL = 32;
/** Beyond the last row and column: kernels take up to eight at a time. */
const MARGIN = 8;
const BYTES = 8;
/** Arenas that are larger are not kept. */
const SMALL = 2 ** 18;

/** @param matrix [n, n] row-major; only the lower triangle is read */
export function tridiagonal(matrix: Float64Array, n: number): Tridiagonal {
  // Rows that are a power of two apart would share few places in the caches.
  const stride = roundUp(n, 2) + MARGIN;
  const vectors = (2 * PANEL + 1) * stride;
  const length = (n + MARGIN) * stride + vectors;
  const arena = arenaOf(length);
  const { numbers, kernels } = arena;
  const G = PRODUCT_LENGTH;
  const panelAt = G + (n + MARGIN) * stride;
  const productAt = panelAt + 2 * PANEL * stride;
  numbers.fill(0, G, G + length);
  for (let i = 0; i < n; i++) numbers.set(matrix.subarray(i * n, i * n + i + 1), G + i * stride);

  const diagonal = new Float64Array(n);
  const beside = new Float64Array(Math.max(0, n - 1));
  const reflections: (Float64Array | undefined)[] = [];
  for (let start = 0; start < n - 2; start += PANEL) {
    const width = Math.min(PANEL, n - 2 - start);
    numbers.fill(0, panelAt, panelAt + vectors);
    const vAt = (l: number): number => panelAt + l * stride;
    const wAt = (l: number): number => panelAt + (width + l) * stride;
    for (let j = 0; j < width; j++) {
      const c = start + j;
      // The column as it is after the panel's reflections so far: v and its neighbours are at their rows' places.
      const column = numbers.subarray(vAt(j), vAt(j) + n);
      for (let i = c; i < n; i++) column[i] = numbers[G + i * stride + c]!;
      for (let l = 0; l < j; l++) {
        const [v, w] = [numbers[vAt(l) + c]!, numbers[wAt(l) + c]!];
        const blocks = Math.ceil((n - c) / BLOCK);
        kernels.addScaled(blocks, -w, (vAt(l) + c) * BYTES, (vAt(j) + c) * BYTES);
        kernels.addScaled(blocks, -v, (wAt(l) + c) * BYTES, (vAt(j) + c) * BYTES);
      }
      diagonal[c] = column[c]!;
      column[c] = 0;
      beside[c] = reflection(column, c + 1);
      if (column[c + 1] === 0) {
        // Nothing to reflect: v = 0, and so is w.
        reflections.push(undefined);
        continue;
      }
      const from = c + 1;
      const blocks = Math.ceil((n - from) / BLOCK);
      const v = (vAt(j) + from) * BYTES;
      const p = (productAt + from) * BYTES;
      numbers.fill(0, productAt, productAt + stride);
      kernels.symmetric(blocks, (G + from * stride + from) * BYTES, stride * BYTES, v, p);
      for (let l = 0; l < j; l++) {
        const [vl, wl] = [(vAt(l) + from) * BYTES, (wAt(l) + from) * BYTES];
        const [alongV, alongW] = [kernels.dot(blocks, vl, v), kernels.dot(blocks, wl, v)];
        kernels.addScaled(blocks, -alongW, vl, p);
        kernels.addScaled(blocks, -alongV, wl, p);
      }
      // w = 2 p − 2 (vᵀ p) v; G ← G − v wᵀ − w vᵀ
      const along = 2 * kernels.dot(blocks, v, p);
      for (let i = from; i < n; i++) numbers[wAt(j) + i] = 2 * numbers[productAt + i]! - along * column[i]!;
      reflections.push(column.slice(from));
    }
    const next = start + width;
    const views = {
      data: numbers,
      offset: panelAt + next,
      rows: n - next,
      columns: width,
      rowStride: 1,
      columnStride: stride,
    };
    const [V, W] = [views, { ...views, offset: views.offset + width * stride }];
    subtractProducts(arena, V, W, { at: G + next * (stride + 1), stride });
  }
  for (let i = Math.max(0, n - 2); i < n; i++) diagonal[i] = numbers[G + i * (stride + 1)]!;
  if (n > 1) beside[n - 2] = numbers[G + (n - 1) * stride + n - 2]!;
  return { diagonal, beside, reflections };
}

/** An arena in which so many numbers are behind those of products. */
function arenaOf(length: number): Arena {
  if (length > SMALL) return new Arena(PRODUCT_LENGTH + length);
  small ??= new Arena(PRODUCT_LENGTH + SMALL);
  return small;
}
let small: Arena | undefined;

/**
 * Makes of x, from an index on, the unit vector v whose reflection 1 − 2 v vᵀ turns it into a multiple of the first axis;
 * zeros, if it is one already.
 * @returns that multiple
 */
function reflection(x: Float64Array, from: number): number {
  let largest = 0;
  for (let i = from + 1; i < x.length; i++) largest = Math.max(largest, Math.abs(x[i]!));
  const first = x[from]!;
  if (largest === 0) {
    x[from] = 0;
    return first;
  }
  largest = Math.max(largest, Math.abs(first));
  let square = 0;
  for (let i = from; i < x.length; i++) {
    x[i]! /= largest;
    square += x[i]! * x[i]!;
  }
  const length = Math.sqrt(square);
  const turned = x[from]! > 0 ? -length : length;
  square -= x[from]! * x[from]!;
  x[from]! -= turned;
  const reach = Math.sqrt(square + x[from]! * x[from]!);
  for (let i = from; i < x.length; i++) x[i]! /= reach;
  return turned * largest;
}

/** C ← C − V Wᵀ − W Vᵀ on and below the diagonal; all three are in the arena. */
function subtractProducts(
  { numbers, kernels }: Arena,
  V: View,
  W: View,
  { at, stride }: { readonly at: number; readonly stride: number },
): void {
  const n = V.rows;
  const depth = 2 * V.columns;
  for (let left = 0; left < n; left += MOST_COLUMNS) {
    const columns = Math.min(MOST_COLUMNS, n - left);
    packRight(numbers, rowsOf(W, left, columns), { depth, factor: -1 });
    packRight(numbers, rowsOf(V, left, columns), { depth, factor: -1, begin: V.columns });
    for (let top = 0; top < n; top += MOST_ROWS) {
      const rows = Math.min(MOST_ROWS, n - top);
      if (top + rows <= left) continue;
      packLeft(numbers, rowsOf(V, top, rows), { depth });
      packLeft(numbers, rowsOf(W, top, rows), { depth, begin: V.columns });
      const c = at + top * stride + left;
      addPanels(kernels, { rows, columns, depth, c, stride, diagonal: left - top });
    }
  }
}

function rowsOf(view: View, top: number, rows: number): View {
  return { ...view, offset: (view.offset ?? 0) + top * view.rowStride, rows };
}
