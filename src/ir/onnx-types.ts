/** Numbers of element types in ONNX (`TensorProto.DataType`). */
import type { DType } from "./dtype.ts";

const ELEMENT_TYPE: Record<DType, number> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  bfloat16: 16,
};

export function onnxElementType(dtype: DType): number {
  return ELEMENT_TYPE[dtype];
}
