/**
 * Encodings of frozen weights, for the operations that compute with them: how their tensors become the values of W.
 *
 * - *cast*: one tensor of W's shape in a narrow floating-point type.
 * - *blocks*: W flattened row by row, in blocks of values that share a constant, their largest magnitude (absmax). Each
 *   value is one of 16 levels times its block's constant; two codes in a byte, the first in the upper four bits (the
 *   layout of bitsandbytes; Dettmers et al. 2023, arXiv 2305.14314, §3). The last block may be short, and the last byte
 *   half used. Tensors: codes uint8 [⌈n / 2⌉]; absmax float32 [blocks].
 * - with *double* quantisation the constants are codes themselves: codes uint8 [⌈n / 2⌉]; absmax uint8 [blocks]; map
 *   float32 [256]; scales float32 [⌈blocks / nestedBlock⌉]; offset float32 [1]. Constant i is
 *   map[absmax[i]] · scales[⌊i / nestedBlock⌋] + offset.
 */
import { ShapeError } from "../../errors.ts";
import type { DType } from "../dtype.ts";
import { type NdArray, sizeOfShape } from "../ndarray.ts";
import { onnxElementType } from "../onnx-types.ts";
import type { OnnxEmitter, Type } from "../op.ts";
import { printShape, shapeOf } from "../shape.ts";

export type Encoding = CastEncoding | BlocksEncoding;

interface CastEncoding {
  readonly kind: "cast";
  readonly from: "float16" | "bfloat16";
}

export interface BlocksEncoding {
  readonly kind: "blocks";
  /** 16 numbers. */
  readonly levels: readonly number[];
  readonly blockSize: number;
  /** Constants of blocks that share a scale; absent without double quantisation. */
  readonly nestedBlock?: number;
  /** The levels are those of a kernel of the engine, `MatMulBnb4`. */
  readonly kernel?: "fp4" | "nf4";
}

/** The engine's numbers of the levels that its `MatMulBnb4` knows. */
export const KERNELS = { fp4: 0, nf4: 1 };
/** Rows and columns of the unit matrix: enough of them for the engine's kernels, and few operations. */
const UNIT = 16;

/** What an operation knows of a weight: its encoding and its shape. */
export type EncodedAttrs = { readonly encoding: Encoding; readonly shape: readonly number[] };

/** The tensors of a weight, in the order in which operations take them. */
export function encodedTensors(
  encoding: Encoding,
  shape: readonly number[],
): readonly { readonly name: string; readonly dtype: DType; readonly shape: readonly number[] }[] {
  if (encoding.kind === "cast") return [{ name: "values", dtype: encoding.from, shape }];
  const count = sizeOfShape(shape);
  const blocks = Math.ceil(count / encoding.blockSize);
  const codes = { name: "codes", dtype: "uint8" as const, shape: [Math.ceil(count / 2)] };
  const { nestedBlock } = encoding;
  if (nestedBlock === undefined) return [codes, { name: "absmax", dtype: "float32", shape: [blocks] }];
  return [
    codes,
    { name: "absmax", dtype: "uint8", shape: [blocks] },
    { name: "map", dtype: "float32", shape: [256] },
    { name: "scales", dtype: "float32", shape: [Math.ceil(blocks / nestedBlock)] },
    { name: "offset", dtype: "float32", shape: [1] },
  ];
}

/** @throws ShapeError if `tensors` are not those of the encoding */
export function expectEncoded(op: string, tensors: readonly Type[], { encoding, shape }: EncodedAttrs): void {
  const expected = encodedTensors(encoding, shape).map(({ dtype, shape }) => `${dtype}${printShape(shapeOf(shape))}`);
  const got = tensors.map(({ dtype, shape }) => `${dtype}${printShape(shape)}`);
  if (got.join() === expected.join()) return;
  throw new ShapeError({
    where: op,
    what: `not the tensors of a weight ${printShape(shapeOf(shape))}`,
    got: got.join(", "),
    expected: expected.join(", "),
  });
}

/** W in float64. */
export function evaluateEncoded(tensors: readonly NdArray[], { encoding, shape }: EncodedAttrs): NdArray {
  if (encoding.kind === "cast") return { shape, data: tensors[0]!.data };
  const { levels, blockSize, nestedBlock } = encoding;
  const [codes, absmax, map, scales, offset] = tensors.map(({ data }) => data);
  const constantOf = (block: number) =>
    nestedBlock === undefined
      ? absmax![block]!
      : map![absmax![block]!]! * scales![Math.floor(block / nestedBlock)]! + offset![0]!;
  const data = Float64Array.from({ length: sizeOfShape(shape) }, (_, i) => {
    const byte = codes![i >> 1]!;
    return levels[i % 2 === 0 ? byte >> 4 : byte & 15]! * constantOf(Math.floor(i / blockSize));
  });
  return { shape, data };
}

/**
 * Emits nodes that make W.
 * @param zero name of an int64 [1] that is 0, and that W has to wait for: the engine runs what it can as early as it can,
 *   and keeps it
 * @param output the name that W gets
 */
export function emitEncoded(
  emit: OnnxEmitter,
  tensors: readonly string[],
  { encoding, shape }: EncodedAttrs,
  { zero, output }: { readonly zero?: string; readonly output?: string } = {},
): string {
  if (encoding.kind === "cast") {
    const values = late(emit, tensors[0]!, shape, zero);
    return emit.node("Cast", [values], { to: onnxElementType("float32") }, output);
  }
  const count = sizeOfShape(shape);
  const [codes] = tensors;
  const absmax = emitAbsmax(emit, tensors, { encoding, shape }, zero);
  const dims = emit.constant("int64", shape);
  const { levels, blockSize, kernel } = encoding;
  const bytes = Math.ceil(count / 2);
  const waiting = late(emit, codes!, [bytes], zero);
  if (kernel !== undefined && emit.device === "cpu" && count % UNIT === 0) {
    // The engine's product with a unit matrix, and a transposition: exact, and several times faster than look-ups.
    const unit = Array.from({ length: UNIT * UNIT }, (_, i) => Number(i % (UNIT + 1) === 0));
    const attrs = { K: UNIT, N: count / UNIT, block_size: blockSize, quant_type: KERNELS[kernel] };
    const inputs = [emit.constant("float32", unit, [UNIT, UNIT]), waiting, absmax];
    const columns = emit.node("MatMulBnb4", inputs, attrs, undefined, "com.microsoft"); // [UNIT, n / UNIT]
    return emit.node("Reshape", [emit.node("Transpose", [columns], { perm: [1, 0] }), dims], {}, output);
  }
  // One look-up for the two values of a byte: half as many as one for each.
  const pairs = Array.from({ length: 256 }, (_, byte) => [levels[byte >> 4]!, levels[byte & 15]!]).flat();
  const indices = emit.node("Cast", [waiting], { to: onnxElementType("int32") });
  const found = emit.node("Gather", [emit.constant("float32", pairs, [256, 2]), indices], { axis: 0 }); // [bytes, 2]
  return emit.node("Reshape", [inBlocks(emit, found, absmax, count, 2 * bytes, blockSize), dims], {}, output);
}

/** Emits nodes that make the constants of blocks, float32 [blocks]. @param zero as in {@link emitEncoded} */
export function emitAbsmax(
  emit: OnnxEmitter,
  [, absmax, map, scales, offset]: readonly string[],
  { encoding, shape }: EncodedAttrs & { readonly encoding: BlocksEncoding },
  zero?: string,
): string {
  const { nestedBlock } = encoding;
  if (nestedBlock === undefined) return absmax!;
  const blocks = Math.ceil(sizeOfShape(shape) / encoding.blockSize);
  const indices = emit.node("Cast", [late(emit, absmax!, [blocks], zero)], { to: onnxElementType("int32") });
  const found = emit.node("Gather", [map!, indices], { axis: 0 });
  return emit.node("Add", [inBlocks(emit, found, scales!, blocks, blocks, nestedBlock), offset!]);
}

/**
 * The first `count` of `values`, each times the scale of its block: [count].
 * @param have how many values there are
 */
function inBlocks(
  emit: OnnxEmitter,
  values: string,
  scales: string,
  count: number,
  have: number,
  blockSize: number,
): string {
  const blocks = Math.ceil(count / blockSize);
  const missing = blocks * blockSize - have;
  const flat = emit.node("Reshape", [values, emit.constant("int64", [-1])]);
  const padded = missing === 0 ? flat : emit.node("Pad", [flat, emit.constant("int64", [0, missing])]);
  const rows = emit.node("Reshape", [padded, emit.constant("int64", [blocks, blockSize])]);
  const columns = emit.node("Reshape", [scales, emit.constant("int64", [blocks, 1])]);
  const scaled = emit.node("Reshape", [emit.node("Mul", [rows, columns]), emit.constant("int64", [-1])]);
  if (count === blocks * blockSize) return scaled;
  return emit.node("Slice", [scaled, ...[0, count, 0].map((at) => emit.constant("int64", [at]))]);
}

/** `tensor`, not before `zero` is there: a view, or a copy in its narrow type. */
function late(emit: OnnxEmitter, tensor: string, shape: readonly number[], zero: string | undefined): string {
  if (zero === undefined) return tensor;
  return emit.node("Reshape", [tensor, emit.node("Add", [emit.constant("int64", shape), zero])]);
}

/** Emits an int64 [1] that is 0 and not there before x, a float tensor with at least one element. */
export function emitZeroAfter(emit: OnnxEmitter, x: string): string {
  const [zero, one] = [emit.constant("int64", [0]), emit.constant("int64", [1])];
  const flat = emit.node("Reshape", [x, emit.constant("int64", [-1])]);
  const first = emit.node("Slice", [flat, zero, one, zero]);
  // No optimizer can know that this is 0, and it is even where x is not finite.
  const isNaN = emit.node("Cast", [emit.node("IsNaN", [first])], { to: onnxElementType("int64") });
  return emit.node("Mul", [isNaN, zero]);
}
