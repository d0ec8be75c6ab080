/** Element types of tensors in a graph, by the names that safetensors readers and ONNX Runtime share. */
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "../half.ts";

export type DType =
  "float32" | "float16" | "bfloat16" | "float64" | "int64" | "int32" | "int8" | "uint8" | "uint32" | "bool";

const BYTES: Record<DType, number> = {
  float64: 8,
  int64: 8,
  float32: 4,
  int32: 4,
  uint32: 4,
  float16: 2,
  bfloat16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
};

/** Size of one element, in bytes. */
export function elementBytes(dtype: DType): number {
  return BYTES[dtype];
}

/** Whether derivatives can flow through values of this type. */
export function isFloat(dtype: DType): boolean {
  return dtype.includes("float");
}

/** Typed arrays that can hold a tensor's elements outside a graph. */
export type TypedArray =
  Float32Array | Float64Array | Int32Array | Int8Array | Uint8Array | Uint16Array | Uint32Array | BigInt64Array;

/**
 * A zeroed array of `length` elements for `dtype`. float16 and bfloat16 are held as their bit patterns (`Uint16Array`),
 * bool as 0 and 1 (`Uint8Array`).
 */
export function allocate(dtype: DType, length: number): TypedArray {
  switch (dtype) {
    case "float32":
      return new Float32Array(length);
    case "float64":
      return new Float64Array(length);
    case "int64":
      return new BigInt64Array(length);
    case "int32":
      return new Int32Array(length);
    case "uint32":
      return new Uint32Array(length);
    case "float16":
    case "bfloat16":
      return new Uint16Array(length);
    case "int8":
      return new Int8Array(length);
    case "uint8":
    case "bool":
      return new Uint8Array(length);
  }
}

/** Numbers as elements of `dtype`, rounded to it: see {@link allocate} for how the narrow floats are held. */
export function elementsOf(dtype: DType, values: ArrayLike<number>): TypedArray {
  if (dtype === "float16") return float32ToFloat16(Float32Array.from(values));
  if (dtype === "bfloat16") return float32ToBfloat16(Float32Array.from(values));
  const array = allocate(dtype, values.length);
  if (array instanceof BigInt64Array) for (let i = 0; i < array.length; i++) array[i] = BigInt(values[i]!);
  else array.set(values);
  return array;
}

/** What the elements of `dtype` are as numbers: the opposite of {@link elementsOf}. int64 beyond 2⁵³ is rounded. */
export function numbersOf(dtype: DType, elements: TypedArray): ArrayLike<number> {
  if (dtype === "float16") return float16ToFloat32(elements as Uint16Array);
  if (dtype === "bfloat16") return bfloat16ToFloat32(elements as Uint16Array);
  return elements instanceof BigInt64Array ? Array.from(elements, Number) : elements;
}
