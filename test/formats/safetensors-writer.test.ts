import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { byteLengthOf, DTYPES, encodeFloat32 } from "../../src/formats/safetensors/dtype.ts";
import type { Dtype } from "../../src/formats/safetensors/dtype.ts";
import { openSafetensors } from "../../src/formats/safetensors/reader.ts";
import { writeSafetensors } from "../../src/formats/safetensors/writer.ts";
import type { TensorToWrite } from "../../src/formats/safetensors/writer.ts";
import { failure, GOLDEN, temporaryFolder } from "./safetensors-fixtures.ts";

const W: TensorToWrite = { name: "w", dtype: "F32", shape: [2], data: Float32Array.of(1, 2) };

describe("writing", () => {
  test("the tensors of the reference file give the same bytes", async (context) => {
    const path = join(GOLDEN, "reference.safetensors");
    const reference = await openSafetensors(path);
    const tensors = [...reference.tensors.values()].map(({ name, dtype, shape }) => ({
      name,
      dtype,
      shape,
      data: () => reference.read(name),
    }));
    const copy = join(await temporaryFolder(context), "copy.safetensors");
    await writeSafetensors(copy, tensors.reverse(), { metadata: reference.metadata });
    await reference.close();
    assert.ok((await readFile(copy)).equals(await readFile(path)));
  });

  test("every dtype makes the round trip", async (context) => {
    const path = join(await temporaryFolder(context), "x.safetensors");
    const shape = [4, 3, 2];
    const tensors = DTYPES.map((dtype, i) => {
      const data = Uint8Array.from({ length: Number(byteLengthOf(dtype, shape)) }, (_, k) => (k * 7 + i) % 256);
      return { name: `t.${dtype}`, dtype, shape, data };
    });
    await writeSafetensors(path, tensors);
    const file = await openSafetensors(path);
    assert.equal(file.tensors.size, DTYPES.length);
    for (const { name, dtype, data } of tensors) {
      const entry = file.tensors.get(name);
      assert.deepEqual([entry?.dtype, entry?.shape], [dtype, shape]);
      assert.deepEqual(new Uint8Array(await file.read(name)), data, name);
      // Wide types first: each tensor can be mapped into memory as it is.
      assert.equal((entry?.byteOffset ?? 1) % Math.max(Number(byteLengthOf(dtype, [8])) / 8, 1), 0, name);
    }
    await file.close();
  });

  test("typed arrays, functions and streams are written alike", async (context) => {
    const path = join(await temporaryFolder(context), "x.safetensors");
    const values = Float32Array.of(9, 1, -2, 3.5, 9).subarray(1, 4);
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const asked: string[] = [];
    async function* stream(): AsyncGenerator<Uint8Array> {
      asked.push("stream");
      for (const size of [1, 0, 6, 5]) yield bytes.slice(position, (position += size));
    }
    let position = 0;
    const shape = [3];
    await writeSafetensors(path, [
      { name: "stream", dtype: "F32", shape, data: stream() },
      { name: "array", dtype: "F32", shape, data: values },
      {
        name: "function",
        dtype: "F32",
        shape,
        data: () => {
          asked.push("function");
          return Promise.resolve(bytes);
        },
      },
      { name: "half", dtype: "F16", shape, data: encodeFloat32("F16", values) },
      { name: "big", dtype: "I64", shape: [], data: BigInt64Array.of(-5n) },
      { name: "none", dtype: "F32", shape: [0, 4], data: new Float32Array(0) },
    ]);
    assert.deepEqual(asked, ["function", "stream"], "one at a time, in the order of the file");
    const file = await openSafetensors(path);
    assert.deepEqual([...file.tensors.keys()], ["big", "array", "function", "none", "stream", "half"]);
    for (const name of ["array", "function", "stream", "half"]) {
      assert.deepEqual([...(await file.readFloat32(name))], [1, -2, 3.5], name);
    }
    assert.deepEqual([...new BigInt64Array((await file.read("big")).buffer)], [-5n]);
    await file.close();
  });

  test("metadata and names come back as they were, the header ends on a multiple of 8", async (context) => {
    const path = join(await temporaryFolder(context), "x.safetensors");
    const metadata = { format: "pt", "": "", ключ: 'a"\\\n\u0001😀' };
    for (const name of ["w", "__proto__", 'q"\\', "名前"]) {
      await writeSafetensors(path, [{ ...W, name }], { metadata });
      const file = await openSafetensors(path);
      assert.deepEqual({ ...file.metadata }, metadata);
      assert.deepEqual([...file.tensors.keys()], [name]);
      assert.equal((file.tensors.get(name)?.byteOffset ?? 1) % 8, 0);
      await file.close();
    }
    await writeSafetensors(path, []);
    assert.equal((await readFile(path)).subarray(8).toString(), "{}      ");
  });
});

describe("a failed write leaves everything as it was:", () => {
  const cases: { name: string; tensors: TensorToWrite[]; metadata?: Record<string, string>; message: RegExp }[] = [
    {
      name: "a name twice",
      tensors: [W, { ...W, dtype: "I32", data: new Int32Array(2) }],
      message: /two tensors have the name "w"\n {2}hint:/,
    },
    {
      name: "the format's own name",
      tensors: [{ ...W, name: "__metadata__" }],
      message: /this name is the format's own/,
    },
    {
      name: "half a surrogate pair",
      tensors: [{ ...W, name: "\ud800" }],
      message: /is not well-formed Unicode: got "\\ud800"/,
    },
    {
      name: "a negative shape",
      tensors: [{ ...W, shape: [-2] }],
      message: /tensor "w": F32 \[-2\] cannot be: a dimension/,
    },
    {
      name: "an unknown dtype",
      tensors: [{ ...W, dtype: "F33" as Dtype }],
      message: /tensor "w": unknown dtype: got F33/,
    },
    {
      name: "metadata that is no string",
      tensors: [W],
      metadata: { step: 5 as unknown as string },
      message: /__metadata__ "step": is not a string: got 5/,
    },
    {
      name: "too few bytes",
      tensors: [{ ...W, shape: [3] }],
      message:
        /tensor "w": the data do not fit F32 \[3\]: got 8 bytes, expected 12 bytes\n {2}hint: check shape and dtype/,
    },
    { name: "too many bytes", tensors: [{ ...W, shape: [1] }], message: /got 8 bytes or more, expected 4 bytes/ },
    {
      name: "a stream without end",
      tensors: [{ ...W, data: endless() }],
      message: /got 10 bytes or more, expected 8 bytes/,
    },
    {
      name: "an array of another type",
      tensors: [{ ...W, data: Int32Array.of(1, 2) }],
      message: /tensor "w": the data are not elements of F32: got Int32Array, expected Uint8Array or Float32Array/,
    },
    {
      name: "float32 for a narrow type",
      tensors: [{ ...W, dtype: "BF16", shape: [4] }],
      message: /not elements of BF16: got Float32Array.*\n {2}hint: encodeFloat32\("BF16", values\)/,
    },
  ];

  for (const { name, tensors, metadata, message } of cases) {
    test(name, async (context) => {
      const folder = await temporaryFolder(context);
      const path = join(folder, "x.safetensors");
      await writeFile(path, "what was there");
      const text = await failure(writeSafetensors(path, tensors, metadata === undefined ? {} : { metadata }));
      assert.match(text, message);
      assert.match(text, /x\.safetensors/, "the message names the file");
      await assertUntouched(folder);
    });
  }

  test("data that throw midway", async (context) => {
    const folder = await temporaryFolder(context);
    await writeFile(join(folder, "x.safetensors"), "what was there");
    let seen: string[] = [];
    const bomb: TensorToWrite = {
      ...W,
      name: "z",
      data: async () => {
        seen = await readdir(folder);
        throw new RangeError("boom");
      },
    };
    // The error of the caller is not ours to change.
    await assert.rejects(writeSafetensors(join(folder, "x.safetensors"), [W, bomb]), new RangeError("boom"));
    assert.equal(seen.length, 2, "the first tensor was on its way, in a temporary file of this folder");
    await assertUntouched(folder);
  });

  test("places that cannot be written", async (context) => {
    const folder = await temporaryFolder(context);
    assert.match(
      await failure(writeSafetensors(join(folder, "none/x.safetensors"), [W])),
      /none\/x\.safetensors: cannot be written: got ENOENT\n {2}hint: check the path/,
    );
    await mkdir(join(folder, "x.safetensors"));
    assert.match(
      await failure(writeSafetensors(join(folder, "x.safetensors"), [W])),
      /x\.safetensors: cannot be written/,
    );
    assert.deepEqual(await readdir(folder), ["x.safetensors"]);
  });
});

test("a file can be rewritten from itself", async (context) => {
  const path = join(await temporaryFolder(context), "x.safetensors");
  await writeSafetensors(path, [W]);
  const old = await openSafetensors(path);
  await writeSafetensors(path, [
    { ...W, data: () => old.read("w") },
    { ...W, name: "v" },
  ]);
  await old.close();
  const file = await openSafetensors(path);
  assert.deepEqual([...(await file.readFloat32("w"))], [1, 2]);
  assert.equal(file.tensors.size, 2);
  await file.close();
});

async function assertUntouched(folder: string): Promise<void> {
  assert.deepEqual(await readdir(folder), ["x.safetensors"]);
  assert.equal(await readFile(join(folder, "x.safetensors"), "utf8"), "what was there");
}

async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) yield new Uint8Array(5);
}
