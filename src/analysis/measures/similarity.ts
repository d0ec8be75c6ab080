/**
 * Cosines of the singular vectors of two matrices ("LoRA vs Full Fine-tuning: An Illusion of Equivalence", Shuttleworth et
 * al. 2024, arXiv 2410.21228, figures 1 and 3): |U₀ᵀ U|. Absolute, since a singular vector may have either sign; the
 * paper's text leaves the bars out, its code has them.
 */
import type { Columns } from "../../linear-algebra/columns.ts";
import type { Matrix } from "../../linear-algebra/svd.ts";

/** Vectors of the base that are multiplied while they are in the cache. */
const BLOCK = 32;

/**
 * |U₀ᵀ U|, rows: base vectors, columns: tuned ones. Vectors have one length; a zero vector has zero cosines.
 * It takes length · base · tuned multiplications.
 */
export function cosines(base: Columns, tuned: Columns): Matrix & { readonly data: Float64Array } {
  const [rows, columns] = [base.length, tuned.length];
  const data = new Float64Array(rows * columns);
  for (let start = 0; start < rows; start += BLOCK) {
    const end = Math.min(rows, start + BLOCK);
    for (let j = 0; j < columns; j++) {
      for (let i = start; i < end; i += 4) addFour(data, base, tuned[j]!, i, end, j, columns);
    }
  }
  for (let at = 0; at < data.length; at++) data[at] = Math.abs(data[at]!);
  return { rows, columns, data };
}

/** Four base vectors at a time, so that the tuned one is read a quarter as often. */
function addFour(
  data: Float64Array,
  base: Columns,
  y: Float64Array,
  i: number,
  end: number,
  j: number,
  columns: number,
): void {
  const [a, b, c, d] = [base[i]!, base[i + 1], base[i + 2], base[i + 3]];
  if (i + 3 >= end || b === undefined || c === undefined || d === undefined) {
    for (let row = i; row < end; row++) {
      const x = base[row]!;
      let sum = 0;
      for (let k = 0; k < y.length; k++) sum += x[k]! * y[k]!;
      data[row * columns + j] = sum;
    }
    return;
  }
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  for (let k = 0; k < y.length; k++) {
    const value = y[k]!;
    s0 += a[k]! * value;
    s1 += b[k]! * value;
    s2 += c[k]! * value;
    s3 += d[k]! * value;
  }
  data[i * columns + j] = s0;
  data[(i + 1) * columns + j] = s1;
  data[(i + 2) * columns + j] = s2;
  data[(i + 3) * columns + j] = s3;
}

export interface MaxCosines {
  /** Of each tuned vector, the largest |cosine| with a base vector. */
  readonly max: number[];
  /** Rank of that base vector, from 1; 0 if there are none. */
  readonly nearest: number[];
}

/** @param matrix of {@link cosines} */
export function maxCosines({ rows, columns, data }: Matrix): MaxCosines {
  const max = Array.from({ length: columns }, () => 0);
  const nearest = Array.from({ length: columns }, () => 0);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const value = data[i * columns + j]!;
      if (nearest[j] !== 0 && value <= max[j]!) continue;
      max[j] = value;
      nearest[j] = i + 1;
    }
  }
  return { max, nearest };
}

/**
 * The largest value in each cell of a grid of at most size × size, cells as equal as they can be: a picture of a large
 * matrix in which thin bright lines stay.
 */
export function pooled({ rows, columns, data }: Matrix, size: number): number[][] {
  const [height, width] = [Math.min(size, rows), Math.min(size, columns)];
  const grid = Array.from({ length: height }, () => Array.from({ length: width }, () => -Infinity));
  for (let i = 0; i < rows; i++) {
    const cells = grid[Math.floor((i * height) / rows)]!;
    for (let j = 0; j < columns; j++) {
      const cell = Math.floor((j * width) / columns);
      cells[cell] = Math.max(cells[cell]!, data[i * columns + j]!);
    }
  }
  return grid;
}

/** The first rows and columns, as lists. */
export function corner({ rows, columns, data }: Matrix, size: number): number[][] {
  return Array.from({ length: Math.min(size, rows) }, (_, i) =>
    Array.from(data.subarray(i * columns, i * columns + Math.min(size, columns))),
  );
}
