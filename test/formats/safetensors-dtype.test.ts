import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { FormatError } from "../../src/errors.ts";
import { byteLengthOf, decodeFloat32, encodeFloat32 } from "../../src/formats/safetensors/dtype.ts";
import type { FloatDtype } from "../../src/formats/safetensors/dtype.ts";
import { openSafetensors } from "../../src/formats/safetensors/reader.ts";
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "../../src/half.ts";
import { GOLDEN } from "./safetensors-fixtures.ts";

const isNan16 = (bits: number): boolean => (bits & 0x7fff) > 0x7c00;
const isNanB16 = (bits: number): boolean => (bits & 0x7fff) > 0x7f80;

describe("narrow floats", () => {
  test("float32 is rounded to float16 and bfloat16 as PyTorch rounds it", async () => {
    const file = await openSafetensors(join(GOLDEN, "reference.safetensors"));
    const values = await file.readFloat32("values.f32");
    const cases = [
      ["values.f16", float32ToFloat16(values), isNan16],
      ["values.bf16", float32ToBfloat16(values), isNanB16],
    ] as const;
    for (const [name, ours, isNan] of cases) {
      const theirs = new Uint16Array((await file.read(name)).buffer);
      assert.equal(ours.length, theirs.length);
      for (const [i, bits] of ours.entries()) {
        const expected = theirs[i] ?? 0;
        // The payload of a NaN is free; that it is one is not.
        if (isNan(expected)) assert.ok(isNan(bits), `${name}[${i}] is a NaN`);
        else assert.equal(bits, expected, `${name}[${i}] of ${values[i]}`);
      }
    }
    await file.close();
  });

  test("every pattern survives widening and narrowing", () => {
    const patterns = Uint16Array.from({ length: 0x10000 }, (_, i) => i);
    const back16 = float32ToFloat16(float16ToFloat32(patterns));
    const backB16 = float32ToBfloat16(bfloat16ToFloat32(patterns));
    for (const bits of patterns) {
      if (isNan16(bits)) assert.ok(isNan16(back16[bits] ?? 0));
      else assert.equal(back16[bits], bits);
      if (isNanB16(bits)) assert.ok(isNanB16(backB16[bits] ?? 0));
      else assert.equal(backB16[bits], bits);
    }
  });

  test("known values", () => {
    assert.deepEqual(
      [...float16ToFloat32(Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x7c00, 0x8000))],
      [1, -2, 65504, 2 ** -14, 2 ** -24, Infinity, -0],
    );
    assert.deepEqual([...bfloat16ToFloat32(Uint16Array.of(0x3f80, 0xc040, 0x0001))], [1, -3, 2 ** -133]);
    // 2049 and 2051 are half way between two float16: each goes to the even one.
    assert.deepEqual(
      [...float16ToFloat32(float32ToFloat16(Float32Array.of(2049, 2051, 65519, 65520, 2 ** -25, 3 * 2 ** -26)))],
      [2048, 2052, 65504, Infinity, 0, 2 ** -24],
    );
    assert.deepEqual(
      [...bfloat16ToFloat32(float32ToBfloat16(Float32Array.of(257, 259, 3.4028234663852886e38)))],
      [256, 260, Infinity],
    );
    assert.ok(
      Number.isNaN(bfloat16ToFloat32(float32ToBfloat16(new Float32Array(Uint32Array.of(0x7fff_ffff).buffer)))[0]),
    );
  });

  test("encode and decode go through each type, from any alignment", () => {
    const values = Float32Array.of(0.5, -3, 0, 1024);
    for (const dtype of ["F64", "F32", "F16", "BF16"] satisfies FloatDtype[]) {
      const bytes = encodeFloat32(dtype, values);
      assert.equal(bytes.byteLength, byteLengthOf(dtype, [4]));
      const shifted = new Uint8Array(bytes.byteLength + 1);
      shifted.set(bytes, 1);
      const back = new Float32Array(4);
      decodeFloat32(dtype, shifted.subarray(1), back);
      assert.deepEqual(back, values, dtype);
      assert.throws(() => decodeFloat32(dtype, bytes, new Float32Array(3)), FormatError);
    }
  });
});

test("byteLengthOf", () => {
  assert.equal(byteLengthOf("F32", []), 4);
  assert.equal(byteLengthOf("BF16", [3, 5]), 30);
  assert.equal(byteLengthOf("F4", [2, 3]), 3);
  assert.equal(byteLengthOf("F6_E2M3", [4]), 3);
  assert.equal(byteLengthOf("F4", [3]), "its elements do not fill whole bytes");
  assert.equal(byteLengthOf("F64", [0, 7]), 0);
  for (const shape of [[-1], [1.5], [NaN], [2 ** 53], [2 ** 30, 2 ** 30], [0, 2 ** 30, 2 ** 30]]) {
    assert.equal(typeof byteLengthOf("F32", shape), "string", String(shape));
  }
});
