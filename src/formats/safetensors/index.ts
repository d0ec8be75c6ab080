/** Table of contents of the safetensors format. */
export { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "../../half.ts";
export { byteLengthOf, decodeFloat32, DTYPES, encodeFloat32, isDtype } from "./dtype.ts";
export type { Dtype, FloatDtype } from "./dtype.ts";
export type { TensorLayout } from "./encode-header.ts";
export type { TensorEntry } from "./header.ts";
export { openSafetensors, SafetensorsFile } from "./reader.ts";
export type { TensorReader } from "./reader.ts";
export { Checkpoint, openCheckpoint } from "./sharded.ts";
export { writeSafetensors } from "./writer.ts";
export type { TensorData, TensorToWrite, WriteOptions } from "./writer.ts";
export { writeSharded } from "./write-sharded.ts";
export type { ShardedOptions } from "./write-sharded.ts";
