/** Comparison of whole arrays of numbers. */
import assert from "node:assert/strict";

export interface Allowed {
  /** Of the element itself. Default 0. */
  readonly relative?: number;
  /** Of the largest element of the array: what is a small sum of large terms has their rounding errors. Default 0. */
  readonly ofLargest?: number;
  /** Default 0. */
  readonly absolute?: number;
}

/** Asserts that every element of `got` is that of `expected`, up to what is allowed. */
export function assertClose(
  got: ArrayLike<number | bigint>,
  expected: ArrayLike<number | bigint>,
  { relative = 0, ofLargest = 0, absolute = 0 }: Allowed,
  what = "array",
): void {
  assert.equal(got.length, expected.length, `${what}: number of elements`);
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const size = Math.abs(Number(expected[i]));
    if (Number.isFinite(size) && size > largest) largest = size;
  }
  for (let i = 0; i < expected.length; i++) {
    const [found, value] = [Number(got[i]), Number(expected[i])];
    const allowed = relative * Math.abs(value) + ofLargest * largest + absolute;
    if (found === value || Object.is(found, value) || Math.abs(found - value) <= allowed) continue;
    assert.fail(`${what}[${i}]: ${found} instead of ${value}, off by ${found - value}, allowed ${allowed}`);
  }
}
