/**
 * Weights in 4 bits: 16 levels times the largest magnitude of a block of 64, two codes in a byte, as in bitsandbytes
 * (Dettmers et al. 2023, arXiv 2305.14314, §3; layout in ir/ops/encoding.ts).
 *
 * A code is that of the nearest level to x / absmax; between two levels that are equally near, the lower one. With double
 * quantisation the constants of blocks, less their mean, are quantised again, in blocks of 256, to the 256 levels of
 * {@link dynamicMap}.
 */
import type { TypedArray } from "../ir/dtype.ts";
import type { Value } from "../ir/graph.ts";
import { sizeOfShape } from "../ir/ndarray.ts";
import { cast } from "../ir/ops/cast.ts";
import { constant } from "../ir/ops/constant.ts";
import type { BlocksEncoding, EncodedAttrs } from "../ir/ops/encoding.ts";
import { gather } from "../ir/ops/gather.ts";
import { mul } from "../ir/ops/mul.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { dynamicMap } from "./dynamic-map.ts";
import { encodedStorage } from "./encoded.ts";
import { expectFinite } from "./finite.ts";
import { Levels } from "./levels.ts";
import type { Storage } from "./storage.ts";

/** Values that share a constant. bitsandbytes' default. */
export const BLOCK = 64;
/** Constants that share a scale, with double quantisation. */
export const NESTED_BLOCK = 256;

export interface FourBit extends Pick<Storage, "name" | "source" | "summary"> {
  /** By code, float32. */
  readonly levels: readonly number[];
  readonly kernel?: "fp4" | "nf4";
}

export function fourBit({ levels, kernel, ...text }: FourBit): Storage {
  const nearest = new Levels(levels);
  const encoding = ({ doubleQuantization }: { readonly doubleQuantization: boolean }): BlocksEncoding => ({
    kind: "blocks",
    levels,
    blockSize: BLOCK,
    ...(doubleQuantization ? { nestedBlock: NESTED_BLOCK } : {}),
    ...(kernel === undefined ? {} : { kernel }),
  });
  return encodedStorage({
    ...text,
    covers: "layers",
    hasConstants: true,
    encoding,
    encode(values, _, { doubleQuantization }) {
      expectFinite(text.name, values);
      const absmax = largestOf(values, BLOCK);
      const codes = new Uint8Array(Math.ceil(values.length / 2));
      quantize(values, absmax, nearest, (i, code) => (codes[i >> 1]! |= i % 2 === 0 ? code << 4 : code));
      // As bitsandbytes: what fills the last byte is a zero.
      if (values.length % 2 === 1) codes[codes.length - 1]! |= nearest.nearest(0);
      return { codes, ...(doubleQuantization ? encodeConstants(absmax) : { absmax }) };
    },
    decode(tensors, shape, options) {
      const codes = tensors["codes"] as Uint8Array;
      const absmax = options.doubleQuantization ? decodeConstants(tensors) : (tensors["absmax"] as Float32Array);
      const values = new Float32Array(sizeOfShape(shape));
      for (let i = 0; i < values.length; i++) {
        const byte = codes[i >> 1]!;
        values[i] = levels[i % 2 === 0 ? byte >> 4 : byte & 15]! * absmax[Math.floor(i / BLOCK)]!;
      }
      return values;
    },
    rows: rowsOf,
  });
}

/** Rows of a table whose rows are whole blocks, with constants in float32; otherwise undefined. */
function rowsOf(
  { encoding, shape }: EncodedAttrs,
  [codes, absmax]: readonly Value[],
  tokens: Value,
): Value | undefined {
  const { levels, nestedBlock } = encoding as BlocksEncoding;
  const [count, width] = shape as [number, number];
  if (width % BLOCK !== 0 || nestedBlock !== undefined) return undefined;
  const pairs = Array.from({ length: 256 }, (_, byte) => [levels[byte >> 4]!, levels[byte & 15]!]).flat();
  const { shape: places } = tokens.type;
  const bytes = gather(reshape(codes!, [count, width / 2]), tokens); // [..., width / 2]
  const found = gather(constant(tokens.graph, "float32", [256, 2], pairs), cast(bytes, "int32"));
  const constants = gather(reshape(absmax!, [count, width / BLOCK, 1]), tokens); // [..., width / 64, 1]
  return reshape(mul(reshape(found, [...places, width / BLOCK, BLOCK]), constants), [...places, width]);
}

/** The constants of blocks in 8 bits. */
function encodeConstants(absmax: Float32Array): Record<string, TypedArray> {
  const offset = Math.fround(absmax.reduce((sum, value) => sum + value, 0) / absmax.length);
  const centred = absmax.map((value) => value - offset);
  const map = dynamicMap();
  const scales = largestOf(centred, NESTED_BLOCK);
  const codes = new Uint8Array(absmax.length);
  const nearest = new Levels([...map]);
  // As bitsandbytes: here by division.
  centred.forEach(
    (value, i) => (codes[i] = nearest.nearest(Math.fround(value / (scales[Math.floor(i / NESTED_BLOCK)]! || 1)))),
  );
  return { absmax: codes, map, scales, offset: Float32Array.of(offset) };
}

function decodeConstants(tensors: Readonly<Record<string, TypedArray>>): Float32Array {
  const { absmax, map, scales, offset } = tensors as Record<string, Float32Array>;
  return Float32Array.from(absmax!, (code, i) => {
    return Math.fround(map![code]! * scales![Math.floor(i / NESTED_BLOCK)]!) + offset![0]!;
  });
}

function largestOf(values: Float32Array, block: number): Float32Array {
  const largest = new Float32Array(Math.ceil(values.length / block));
  for (let i = 0; i < values.length; i++) {
    const at = Math.floor(i / block);
    const magnitude = Math.abs(values[i]!);
    if (magnitude > largest[at]!) largest[at] = magnitude;
  }
  return largest;
}

/** Calls `take` with the code of each value. A block of zeros has the constant 0, and every code stands for 0. */
function quantize(
  values: Float32Array,
  largest: Float32Array,
  levels: Levels,
  take: (i: number, code: number) => void,
): void {
  for (let start = 0, at = 0; start < values.length; start += BLOCK, at++) {
    const end = Math.min(start + BLOCK, values.length);
    // As bitsandbytes: one division for each block, and products rounded to float32.
    const scale = largest[at]!;
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    for (let i = start; i < end; i++) {
      // 1 / scale overflows for the smallest numbers.
      take(i, levels.nearest(inverse === Infinity ? values[i]! / scale : Math.fround(values[i]! * inverse)));
    }
  }
}
