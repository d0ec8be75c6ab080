/** Tensors of methods against each other: bit for bit, or but for rounding. */
import assert from "node:assert/strict";
import type { Tensor } from "../runtime/runtime.ts";

/**
 * Of the largest element: float32 against float64, or the same sum in another order. Three layers of at most a hundred
 * terms, each rounded to 2⁻²⁴.
 */
export const ROUNDING = 1e-5;

/** Equal as numbers; 0 and -0 are. */
export function sameBits(got: Tensor, want: Tensor, what: string): void {
  assert.deepEqual(got.shape, want.shape, what);
  const [numbers, wanted] = [numbersOf(got), numbersOf(want)];
  const at = numbers.findIndex((value, i) => value !== wanted[i]);
  assert.equal(at, -1, `${what}: element ${at} is ${numbers[at]} and not ${wanted[at]}`);
}

export function differs(a: Tensor, b: Tensor): boolean {
  const other = numbersOf(b);
  return numbersOf(a).some((value, i) => value !== other[i]);
}

export function close(got: Tensor, want: Tensor, what: string): void {
  assert.deepEqual(got.shape, want.shape, what);
  const error = difference(got, want);
  assert.ok(error <= ROUNDING, `${what} differ by ${error} of the largest`);
}

/** Largest difference, as a part of the largest element of `want`. */
export function difference(got: Tensor, want: Tensor): number {
  const wanted = numbersOf(want);
  const largest = Math.max(...wanted.map(Math.abs));
  return Math.max(...numbersOf(got).map((value, i) => Math.abs(value - wanted[i]!))) / largest;
}

export function numbersOf({ data }: Tensor): number[] {
  return Array.from<number | bigint, number>(data, Number);
}
