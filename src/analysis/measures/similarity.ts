/**
 * Cosines of the singular vectors of two matrices ("LoRA vs Full Fine-tuning: An Illusion of Equivalence", Shuttleworth et
 * al. 2024, arXiv 2410.21228, figures 1 and 3): |U₀ᵀ U|. Absolute, since a singular vector may have either sign; the
 * paper's text leaves the bars out, its code has them.
 */
import type { Columns } from "../../linear-algebra/columns.ts";
import { innerProducts } from "../../linear-algebra/product.ts";
import type { Matrix } from "../../linear-algebra/svd.ts";

/**
 * |U₀ᵀ U|, rows: base vectors, columns: tuned ones. Vectors have one length; a zero vector has zero cosines.
 * It takes length · base · tuned multiplications.
 */
export function cosines(base: Columns, tuned: Columns): Matrix & { readonly data: Float64Array } {
  const [rows, columns] = [base.length, tuned.length];
  if (rows === 0 || columns === 0) return { rows, columns, data: new Float64Array() };
  const { data } = innerProducts(base, tuned);
  for (let at = 0; at < data.length; at++) data[at] = Math.abs(data[at]!);
  return { rows, columns, data };
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
