/** What a storage takes, and what it makes of numbers: for tables and choices. */
import { elementBytes } from "../ir/dtype.ts";
import { sizeOfShape } from "../ir/ndarray.ts";
import type { Storage, StorageOptions } from "./storage.ts";

/** Bits of one weight, constants included. The map of double quantisation is in every matrix. */
export function bitsPerParameter(storage: Storage, shape: readonly number[], options: StorageOptions): number {
  const bits = storage
    .tensors(shape, options)
    .reduce((sum, tensor) => sum + 8 * elementBytes(tensor.dtype) * sizeOfShape(tensor.shape), 0);
  return bits / sizeOfShape(shape);
}

/** Sums of squares of a weight and of the error of its storage; they add up over weights. */
export interface StorageError {
  readonly error: number;
  readonly value: number;
}

/** @throws NumericError if the weight cannot be stored */
export function storageError(
  storage: Storage,
  values: Float32Array,
  shape: readonly number[],
  options: StorageOptions,
): StorageError {
  const back = storage.decode(storage.encode(values, shape, options), shape, options);
  let [error, value] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    error += (back[i]! - values[i]!) ** 2;
    value += values[i]! ** 2;
  }
  return { error, value };
}

/** √(Σ error² / Σ value²), over all weights that are given; 0 for zeros. */
export function relativeRmse(errors: readonly StorageError[]): number {
  const [error, value] = errors.reduce(([a, b], each) => [a + each.error, b + each.value], [0, 0]);
  return value === 0 ? 0 : Math.sqrt(error / value);
}
