/** Matrices as lists of vectors. */
import type { Matrix } from "../../linear-algebra/svd.ts";

export function columnsOf({ rows, columns, data }: Matrix): Float64Array[] {
  return Array.from({ length: columns }, (_, j) =>
    Float64Array.from({ length: rows }, (_row, i) => data[i * columns + j]!),
  );
}

export function rowsOf({ rows, columns, data }: Matrix): Float64Array[] {
  return Array.from({ length: rows }, (_, i) => Float64Array.from(data.subarray(i * columns, (i + 1) * columns)));
}
