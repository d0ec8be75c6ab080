import assert from "node:assert/strict";
import { appendFile, open, readFile, realpath, rename, symlink, writeFile } from "node:fs/promises";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openSafetensors } from "../../src/formats/safetensors/reader.ts";
import { failure, fileBytes, GOLDEN, temporaryFolder, writeRaw } from "./safetensors-fixtures.ts";
import type { ExpectedTensor } from "./safetensors-fixtures.ts";

const SHARED_DATA =
  process.env["LOWRANK_TEST_DATA"] ?? fileURLToPath(new URL("../../../../shared/data", import.meta.url));
const TINYSTORIES = join(SHARED_DATA, "tinystories-656k/model.safetensors");

describe("a file of the reference implementation", () => {
  const path = join(GOLDEN, "reference.safetensors");

  test("has the same tensors for us", async () => {
    const expected = JSON.parse(await readFile(join(GOLDEN, "expected.json"), "utf8")) as Record<
      string,
      ExpectedTensor
    >;
    const file = await openSafetensors(path);
    assert.deepEqual({ ...file.metadata }, { größe: 'über "alles"\n' });
    const whole = await readFile(path);
    for (const [name, { dtype, shape, hex }] of Object.entries(expected)) {
      const entry = file.tensors.get(name);
      assert.ok(entry, name);
      assert.deepEqual([entry.dtype, entry.shape, entry.path], [dtype, shape, await realpath(path)], name);
      assert.equal(Buffer.from(await file.read(name)).toString("hex"), hex, name);
      // Offsets count from the start of the file, where another program looks for the bytes.
      const { byteOffset, byteLength } = entry;
      assert.equal(whole.subarray(byteOffset, byteOffset + byteLength).toString("hex"), hex, name);
    }
    assert.equal(file.tensors.size, Object.keys(expected).length + 3);
    await file.close();
  });

  test("reads as float32 whatever float it holds", async () => {
    const file = await openSafetensors(path);
    assert.deepEqual(await file.readFloat32("scalar"), Float32Array.of(2.5));
    assert.deepEqual(await file.readFloat32("empty"), new Float32Array(0));
    assert.deepEqual(await file.readFloat32("__proto__"), Float32Array.of(4));
    assert.deepEqual(await file.readFloat32("größe/重み/😀"), Float32Array.of(1));
    assert.deepEqual(await file.readFloat32("small.f64"), Float32Array.of(0.1, -2, Infinity, 0, 0, 3));
    const [values, narrow] = [await file.readFloat32("values.f32"), await file.readFloat32("values.bf16")];
    for (const [i, value] of values.entries()) {
      const error = Math.abs((narrow[i] ?? 0) - value) / Math.abs(value);
      // Normal values within half a unit of 8 significant bits.
      if (Math.abs(value) > 2 ** -126 && Math.abs(value) < 3e38) assert.ok(error <= 2 ** -8, `${value}`);
    }
    assert.match(
      await failure(file.readFloat32("small.i64")),
      /reference\.safetensors: tensor "small\.i64": cannot be read as float32: got I64, expected F32, F16, BF16 or F64/,
    );
    await file.close();
  });
});

describe("reading", () => {
  const header = `{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"I16","shape":[2,1],"data_offsets":[4,8]}}`;

  test("whole, in ranges, into memory of the caller", async (context) => {
    const path = await writeRaw(await temporaryFolder(context), "x.safetensors", fileBytes(header, 8));
    const file = await openSafetensors(path);
    assert.deepEqual([...(await file.read("b"))], [4, 5, 6, 7]);
    assert.deepEqual([...(await file.readRange("b", 1, 3))], [5, 6]);
    assert.deepEqual([...(await file.readRange("b", 4, 4))], []);
    const target = new Int16Array(4);
    await file.readInto("b", target.subarray(1, 3));
    assert.deepEqual([...target], [0, 0x0504, 0x0706, 0]);
    assert.match(
      await failure(file.readInto("b", new Uint8Array(3))),
      /got 3 bytes, expected 4 bytes \(I16 \[2, 1\]\)/,
    );
    assert.match(await failure(file.readRange("b", 2, 5)), /not inside the tensor: got \[2, 5\], expected 0 ≤ begin/);
    assert.match(await failure(file.readRange("b", -1, 2)), /not inside the tensor/);
    assert.match(await failure(file.read("c")), /no such tensor: got "c", expected one of 2, such as "a", "b"/);
    await file.close();
    await file.close();
    assert.match(await failure(file.read("a")), /tensor "a": the file has been closed/);
  });

  test("a path through a link is the real path", async (context) => {
    const folder = await temporaryFolder(context);
    const path = await writeRaw(folder, "x.safetensors", fileBytes(header, 8));
    await symlink(path, join(folder, "link.safetensors"));
    const file = await openSafetensors(join(folder, "link.safetensors"));
    assert.equal(file.path, await realpath(path));
    assert.equal(file.tensors.get("a")?.path, await realpath(path));
    await file.close();
  });

  test("an empty header is a file without tensors", async (context) => {
    const folder = await temporaryFolder(context);
    for (const text of ["{}", "{}      ", `{"__metadata__":{"format":"pt"}}`]) {
      const file = await openSafetensors(await writeRaw(folder, "x.safetensors", fileBytes(text, 0)));
      assert.equal(file.tensors.size, 0);
      await file.close();
    }
  });

  test("a file that is replaced or cut after opening is noticed", async (context) => {
    const folder = await temporaryFolder(context);
    const path = await writeRaw(folder, "x.safetensors", fileBytes(header, 8));
    const file = await openSafetensors(path);
    await file.release();
    await writeFile(join(folder, "other"), fileBytes(header, 8));
    await rename(join(folder, "other"), path);
    assert.match(await failure(file.read("a")), /the file has changed since its header was read/);
    await file.close();

    const cut = await openSafetensors(path);
    await writeFile(path, fileBytes(header, 5));
    assert.match(await failure(cut.read("b")), /tensor "b": the file ended early/);
    await cut.close();
  });

  test("a small tensor behind 3 GiB costs a few bytes of reading", async (context) => {
    const big = 3 * 2 ** 30;
    const text = `{"big":{"dtype":"U8","shape":[${big}],"data_offsets":[0,${big}]},"end":{"dtype":"U8","shape":[3],"data_offsets":[${big},${big + 3}]}}`;
    const path = join(await temporaryFolder(context), "sparse.safetensors");
    const start = fileBytes(text, 0);
    const handle = await open(path, "w");
    await handle.write(start);
    await handle.truncate(start.byteLength + big);
    await handle.close();
    await appendFile(path, Uint8Array.of(7, 8, 9));

    const before = bytesRead();
    const file = await openSafetensors(path);
    assert.deepEqual([...(await file.read("end"))], [7, 8, 9]);
    // Positions past 2^31 in the file and past 2^31 in the tensor.
    assert.deepEqual([...(await file.readRange("big", big - 2, big))], [0, 0]);
    await file.close();
    const after = bytesRead();
    if (before === undefined || after === undefined) context.diagnostic("bytes read are not counted on this system");
    else assert.ok(after - before < 2 ** 20, `read ${after - before} bytes`);
  });

  test("a tensor of several chunks is put together rightly", async (context) => {
    const size = 130 * 2 ** 20; // two chunks of 64 MiB and a rest
    const text = `{"x":{"dtype":"F16","shape":[${size / 2}],"data_offsets":[0,${size}]}}`;
    const path = join(await temporaryFolder(context), "chunks.safetensors");
    const start = fileBytes(text, 0);
    const marks = [0, 8 * 2 ** 20 - 2, 8 * 2 ** 20, 64 * 2 ** 20 - 2, 64 * 2 ** 20, 128 * 2 ** 20, size - 2];
    const handle = await open(path, "w");
    await handle.write(start);
    await handle.truncate(start.byteLength + size);
    for (const [i, mark] of marks.entries()) {
      await handle.write(Uint8Array.of(i + 1, 0x3c), 0, 2, start.byteLength + mark);
    }
    await handle.close();

    const file = await openSafetensors(path);
    const raw = new Uint16Array((await file.read("x")).buffer);
    const values = await file.readFloat32("x");
    for (const [i, mark] of marks.entries()) {
      assert.equal(raw[mark / 2], 0x3c00 + i + 1);
      assert.equal(values[mark / 2], 1 + (i + 1) / 1024);
    }
    assert.equal(
      values.findIndex((value, i) => value !== 0 && !marks.includes(2 * i)),
      -1,
    );
    await file.close();
  });

  test("a trained model of the hub", { skip: existsSync(TINYSTORIES) ? false : `no ${TINYSTORIES}` }, async () => {
    const file = await openSafetensors(TINYSTORIES);
    assert.equal(file.metadata["format"], "pt");
    const end = Math.max(...[...file.tensors.values()].map(({ byteOffset, byteLength }) => byteOffset + byteLength));
    assert.equal(end, readFileSync(TINYSTORIES).byteLength);
    let parameters = 0;
    for (const [name, { shape }] of file.tensors) {
      const values = await file.readFloat32(name);
      assert.equal(
        values.length,
        shape.reduce((a, b) => a * b, 1),
      );
      assert.ok(values.every(Number.isFinite), name);
      parameters += values.length;
    }
    assert.ok(parameters > 600_000 && parameters < 700_000, `${parameters}`);
    await file.close();
  });
});

/** Bytes that this process has read so far, cached or not, where the system counts them. */
function bytesRead(): number | undefined {
  const counted = existsSync("/proc/self/io")
    ? /^rchar: (\d+)/m.exec(readFileSync("/proc/self/io", "utf8"))
    : undefined;
  return counted?.[1] === undefined ? undefined : Number(counted[1]);
}
