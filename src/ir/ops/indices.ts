/** What operations that read positions from a tensor share. */
import { DataError, ShapeError } from "../../errors.ts";
import type { Type } from "../op.ts";

/** @throws ShapeError unless the type is int32 or int64. WebGPU has kernels for int32 only. */
export function expectIndices(where: string, { dtype }: Type): void {
  if (dtype !== "int32" && dtype !== "int64") {
    throw new ShapeError({ where, what: "indices have the wrong type", got: dtype, expected: "int32 or int64" });
  }
}

/** Negative positions do not count from the end: kernels disagree about them. @throws DataError */
export function checkIndex(where: string, index: number, size: number): number {
  if (index < 0 || index >= size) {
    throw new DataError({ where, what: "index lies outside the axis", got: index, expected: `0 to ${size - 1}` });
  }
  return index;
}
