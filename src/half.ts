/**
 * float32 from and to the two 16-bit floats, as bit patterns.
 *
 * float16 (IEEE 754 binary16) is 1 sign, 5 exponent and 10 fraction bits; bfloat16 is the upper half of a float32.
 * Narrowing rounds to nearest, ties to even; what is too large becomes infinity, and a NaN stays a (quiet) NaN.
 */

/** float16 bit patterns as float32, exactly. @param target where to put them; as long as `bits` */
export function float16ToFloat32(
  bits: Uint16Array,
  target: Float32Array = new Float32Array(bits.length),
): Float32Array {
  const table = float16Table();
  for (let i = 0; i < bits.length; i++) target[i] = table[bits[i] ?? 0] ?? 0;
  return target;
}

/** bfloat16 bit patterns as float32, exactly. @param target where to put them; as long as `bits` */
export function bfloat16ToFloat32(
  bits: Uint16Array,
  target: Float32Array = new Float32Array(bits.length),
): Float32Array {
  const wide = bitsOf(target);
  for (let i = 0; i < bits.length; i++) wide[i] = (bits[i] ?? 0) << 16;
  return target;
}

/** float32 rounded to float16 (nearest, ties to even), as bit patterns. From 65520 on it is infinity. */
export function float32ToFloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const source = bitsOf(values);
  const target = new Uint16Array(source.length);
  for (let i = 0; i < target.length; i++) target[i] = narrowToFloat16(source[i] ?? 0);
  return target;
}

/** float32 rounded to bfloat16 (nearest, ties to even), as bit patterns. */
export function float32ToBfloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const source = bitsOf(values);
  const target = new Uint16Array(source.length);
  for (let i = 0; i < target.length; i++) {
    const bits = source[i] ?? 0;
    // Rounding a NaN up could carry it into infinity, so its top bits are kept and it is made quiet.
    target[i] =
      (bits & 0x7fff_ffff) > 0x7f80_0000 ? (bits >>> 16) | 0x40 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  }
  return target;
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

let table: Float32Array | undefined;

/** The value of each of the 65,536 patterns: a look-up is several times faster than taking the bits apart. */
function float16Table(): Float32Array {
  if (table !== undefined) return table;
  const values = new Float32Array(0x10000);
  for (let bits = 0; bits < values.length; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >>> 10) & 0x1f;
    const fraction = bits & 0x3ff;
    values[bits] =
      exponent === 0x1f
        ? fraction === 0
          ? sign * Infinity
          : NaN
        : sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
  }
  table = values;
  return values;
}

function narrowToFloat16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fff_ffff;
  if (magnitude > 0x7f80_0000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff); // NaN, made quiet
  if (magnitude >= 0x477f_f000) return sign | 0x7c00; // 65520: half way past the largest, 65504
  if (magnitude >= 0x3880_0000) {
    // Normal (2^-14 and up): rebias the exponent from 127 to 15; a carry out of the fraction raises it rightly.
    const rebiased = magnitude - (112 << 23);
    return sign | ((rebiased + 0xfff + ((rebiased >>> 13) & 1)) >>> 13);
  }
  if (magnitude <= 0x3300_0000) return sign; // 2^-25, half of the smallest, ties to zero
  // Subnormal: the fraction with its implied one, shifted to units of 2^-24.
  const fraction = (magnitude & 0x7f_ffff) | 0x80_0000;
  const shift = 126 - (magnitude >>> 23);
  const half = 1 << (shift - 1);
  return sign | ((fraction + half - 1 + ((fraction >>> shift) & 1)) >>> shift);
}
