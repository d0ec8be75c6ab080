/**
 * The data types of safetensors: their wire names, their widths, and float32 from and to the others.
 *
 * Bytes on disk are little-endian, and so is every platform that the engine runs on, so typed arrays are used as is.
 */
import { FormatError } from "../../errors.ts";
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "../../half.ts";

/**
 * Width in bits of each data type, narrow ones first. The order within one width is that of the reference
 * implementation, and a writer needs it (see compareLayouts).
 */
const BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

/** A data type by its name in the file. */
export type Dtype = keyof typeof BITS;

/** Every data type that the format has, in the order of the reference implementation. */
export const DTYPES: readonly Dtype[] = Object.keys(BITS) as Dtype[];

const RANK: ReadonlyMap<string, number> = new Map(DTYPES.map((dtype, index) => [dtype, index]));

export function isDtype(name: unknown): name is Dtype {
  return typeof name === "string" && RANK.has(name);
}

/** Compares two types by their place in {@link DTYPES}: negative when `a` comes first. */
export function compareDtypes(a: Dtype, b: Dtype): number {
  return (RANK.get(a) ?? 0) - (RANK.get(b) ?? 0);
}

/**
 * Bytes that a dense tensor takes.
 *
 * @returns the number of bytes, or a phrase that says why there is none: a dimension that is not a whole number, a size
 *   past 2^53, or elements narrower than a byte that do not fill the last one.
 */
export function byteLengthOf(dtype: Dtype, shape: readonly number[]): number | string {
  let bits: number = BITS[dtype];
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) return "a dimension is not a whole number from 0 to 2^53 - 1";
    // Checked without the zeros, so that the answer does not depend on where in the shape a zero stands.
    bits *= Math.max(size, 1);
    if (bits > Number.MAX_SAFE_INTEGER) return "its size is past 2^53 bits";
  }
  if (shape.includes(0)) return 0;
  return bits % 8 === 0 ? bits / 8 : "its elements do not fill whole bytes";
}

/** Data types that can be read as, or made from, float32. */
export type FloatDtype = "F64" | "F32" | "F16" | "BF16";

export function isFloatDtype(dtype: Dtype): dtype is FloatDtype {
  return dtype === "F64" || dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

/**
 * Widens (or, from F64, rounds) raw little-endian elements into `target`.
 *
 * @param bytes the elements of `dtype`, exactly as many as `target` has.
 * @throws FormatError when the number of bytes does not fit.
 */
export function decodeFloat32(dtype: FloatDtype, bytes: Uint8Array, target: Float32Array): void {
  const width = BITS[dtype] / 8;
  if (bytes.byteLength !== target.length * width) {
    throw new FormatError({
      what: `${dtype} data does not fit the target`,
      got: `${bytes.byteLength} bytes`,
      expected: `${target.length * width} bytes for ${target.length} elements`,
    });
  }
  // A typed array needs an aligned start; a range of a file seldom has one.
  const aligned = bytes.byteOffset % width === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset } = aligned;
  switch (dtype) {
    case "F64":
      target.set(new Float64Array(buffer, byteOffset, target.length));
      return;
    case "F32":
      target.set(new Float32Array(buffer, byteOffset, target.length));
      return;
    case "F16":
      float16ToFloat32(new Uint16Array(buffer, byteOffset, target.length), target);
      return;
    case "BF16":
      bfloat16ToFloat32(new Uint16Array(buffer, byteOffset, target.length), target);
      return;
  }
}

/**
 * Elements of `dtype` as the bytes that a file holds, rounded to nearest, ties to even.
 *
 * @param values any number of float32 values; F32 is copied, F64 is widened.
 */
export function encodeFloat32(dtype: FloatDtype, values: Float32Array): Uint8Array {
  switch (dtype) {
    case "F64":
      return new Uint8Array(new Float64Array(values).buffer);
    case "F32":
      return new Uint8Array(new Float32Array(values).buffer);
    case "F16":
      return new Uint8Array(float32ToFloat16(values).buffer);
    case "BF16":
      return new Uint8Array(float32ToBfloat16(values).buffer);
  }
}
