/** Tensors for tests: given ones, and random ones that are the same at every run. */
import type { DType } from "../ir/dtype.ts";
import { sizeOfShape } from "../ir/ndarray.ts";

export interface TestTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

/** A generator of numbers from [0, 1). */
export type Random = () => number;

/** Numbers that depend on `seed` only. A linear congruential generator with the constants of Numerical Recipes. */
export function randomNumbers(seed: number): Random {
  let state = (Math.imul(seed, 0x9e3779b9) ^ 0x5bd1e995) >>> 0;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  // The first numbers of neighbouring seeds are alike.
  for (let i = 0; i < 8; i++) next();
  return next;
}

/** @throws Error if the values do not fill the shape */
export function tensor(dtype: DType, shape: readonly number[], values: readonly number[]): TestTensor {
  if (values.length !== sizeOfShape(shape)) throw new Error(`${values.length} values for [${shape.join(", ")}]`);
  return { dtype, shape, values: dtype === "float32" ? values.map(Math.fround) : values };
}

/** float32 numbers, uniform between `low` and `high`. Default: -1.5 to 1.5. */
export function random(shape: readonly number[], low = -1.5, high = 1.5): (next: Random) => TestTensor {
  return (next) =>
    tensor(
      "float32",
      shape,
      Array.from({ length: sizeOfShape(shape) }, () => low + (high - low) * next()),
    );
}

/**
 * float32 numbers of both signs whose magnitudes lie evenly between 0.2 and 1.7, in random order: no two are close to each
 * other, and none to 0. For functions with kinks.
 */
export function apart(shape: readonly number[]): (next: Random) => TestTensor {
  return (next) => {
    const count = sizeOfShape(shape);
    const values = Array.from({ length: count }, (_, i) => (0.2 + (1.5 * (i + 0.5)) / count) * (next() < 0.5 ? -1 : 1));
    for (let i = count - 1; i > 0; i--) {
      const j = Math.floor(next() * (i + 1));
      [values[i], values[j]] = [values[j]!, values[i]!];
    }
    return tensor("float32", shape, values);
  };
}

/** Whole numbers from `low` to `high`, both included. Default type: int32. */
export function integers(
  shape: readonly number[],
  low: number,
  high: number,
  dtype: DType = "int32",
): (next: Random) => TestTensor {
  return (next) =>
    tensor(
      dtype,
      shape,
      Array.from({ length: sizeOfShape(shape) }, () => low + Math.floor(next() * (high - low + 1))),
    );
}
