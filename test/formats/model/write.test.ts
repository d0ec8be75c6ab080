import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, suite, test } from "node:test";
import { ConfigError } from "../../../src/errors.ts";
import { readModelConfig } from "../../../src/formats/model/config.ts";
import { type TensorSource, writeModel } from "../../../src/formats/model/write.ts";
import { openCheckpoint } from "../../../src/formats/safetensors/index.ts";
import { goldenCheckpoint, sha256 } from "./golden.ts";

let root: string;
let from: string;
let dir: string;
let count = 0;
before(async () => {
  root = await mkdtemp(join(tmpdir(), "lowrank-write-model-"));
  from = join(root, "from");
  await mkdir(join(from, "additional_chat_templates"), { recursive: true });
  for (const name of [
    "tokenizer.json",
    "chat_template.jinja",
    "generation_config.json",
    "pytorch_model.bin",
    "notes.txt",
  ]) {
    await writeFile(join(from, name), name);
  }
  await writeFile(join(from, "additional_chat_templates", "tools.jinja"), "tools");
});
after(() => rm(root, { recursive: true }));
beforeEach(() => {
  dir = join(root, String(count++), "out");
});

/** 0.1 is no bfloat16 and 1 + 2⁻⁸ is half way between two, of which 1 is the even one. */
const VALUES = new Float32Array([0.1, 1 + 2 ** -8, -2, 0]);
const tensors = (names: readonly string[]): TensorSource[] =>
  names.map((name) => ({ name, shape: [2, 2], read: () => Promise.resolve(VALUES) }));

suite("writeModel", () => {
  test("what transformers stored in bfloat16 comes back bit for bit", async () => {
    const golden = goldenCheckpoint("llama-bf16");
    const source = await openCheckpoint(golden.dir);
    const read = (name: string) => () => source.readFloat32(name);
    await writeModel(dir, {
      tensors: golden.parameters.map(({ name, shape }) => ({ name, shape, read: read(name) })),
      dtype: "bfloat16",
      shardBytes: 3000,
      config: (await readModelConfig(golden.dir)).fields,
    });
    await source.close();
    const written = await openCheckpoint(dir);
    assert.ok(written.files.length > 2);
    for (const { name } of golden.parameters) {
      assert.equal(written.tensors.get(name)?.dtype, "BF16");
      assert.equal(sha256(await written.readFloat32(name)), golden.hashes[name], name);
    }
    await written.close();
    const index = JSON.parse(await readFile(join(dir, "model.safetensors.index.json"), "utf8")) as { metadata: object };
    const elements = golden.parameters.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0);
    assert.deepEqual(index.metadata, { total_size: 2 * elements });
  });

  test("values are rounded once, to nearest even", async () => {
    const progress: number[][] = [];
    const options = { tensors: tensors(["a", "b"]), config: { torch_dtype: "float32" } };
    await writeModel(dir, { ...options, dtype: "bfloat16", onProgress: (...at) => progress.push(at) });
    const written = await openCheckpoint(dir);
    assert.deepEqual([...(await written.readFloat32("b"))], [0.10009765625, 1, -2, 0]);
    await written.close();
    assert.deepEqual(progress, [
      [4, 8],
      [8, 8],
    ]);
  });

  test("the precision is written under the names that the configuration has", async () => {
    const keys = async (config: Record<string, string>) => {
      await writeModel(dir, { tensors: tensors(["a"]), dtype: "float16", config });
      return (await readModelConfig(dir)).fields;
    };
    assert.deepEqual(await keys({ model_type: "x", dtype: "float32" }), { model_type: "x", dtype: "float16" });
    assert.deepEqual(await keys({ torch_dtype: "float32" }), { torch_dtype: "float16" });
    assert.deepEqual(await keys({ model_type: "x" }), { model_type: "x", torch_dtype: "float16" });
  });

  test("tokenizer, templates and generation settings come along, weights and other files do not", async () => {
    await writeModel(dir, {
      tensors: tensors(["a"]),
      config: {},
      copyFrom: [from],
      files: { "tokenizer.json": "new", "README.md": "hello" },
    });
    assert.deepEqual((await readdir(dir, { recursive: true })).sort(), [
      "README.md",
      "additional_chat_templates",
      join("additional_chat_templates", "tools.jinja"),
      "chat_template.jinja",
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
    ]);
    assert.equal(await readFile(join(dir, "tokenizer.json"), "utf8"), "new");
    assert.deepEqual(await readdir(join(dir, "..")), ["out"]);
  });

  test("an earlier export is replaced as a whole", async () => {
    await writeModel(dir, { tensors: tensors(["a", "b", "c"]), config: {}, shardBytes: 16, copyFrom: [from] });
    await writeModel(dir, { tensors: tensors(["a"]), config: {} });
    assert.deepEqual((await readdir(dir)).sort(), ["config.json", "model.safetensors"]);
    assert.deepEqual(await readdir(join(dir, "..")), ["out"]);
  });

  test("any other folder is left alone", async () => {
    const refused = async (target: string, what: RegExp, copyFrom: string[] = []) => {
      const before = await readdir(target).catch(() => "file");
      const running = writeModel(target, { tensors: tensors(["a"]), config: {}, copyFrom });
      await assert.rejects(running, (error) => error instanceof ConfigError && what.test(error.message));
      assert.deepEqual(await readdir(target).catch(() => "file"), before);
    };
    await refused(from, /not an earlier export/);
    await refused(from, /comes from/, [from]);
    await refused(join(from, "notes.txt"), /is a file/);
    await writeModel(dir, { tensors: tensors(["a"]), config: {} });
    await writeFile(join(dir, "thesis.txt"), "");
    await refused(dir, /thesis\.txt/);
  });

  test("a failure leaves nothing, and an earlier export as it was", async () => {
    const broken: TensorSource = { name: "z", shape: [1], read: () => Promise.reject(new Error("lost")) };
    await assert.rejects(writeModel(dir, { tensors: [...tensors(["a"]), broken], config: {} }), /lost/);
    await assert.rejects(readdir(dir));
    await writeModel(dir, { tensors: tensors(["a"]), config: { mine: 1 } });
    const stop = new AbortController();
    const options = { tensors: tensors(["a", "b"]), config: {}, signal: stop.signal };
    const stopped = writeModel(dir, { ...options, onProgress: () => stop.abort(new Error("enough")) });
    await assert.rejects(stopped, /enough/);
    assert.equal((await readModelConfig(dir)).fields["mine"], 1);
    assert.deepEqual(await readdir(join(dir, "..")), ["out"]);
  });
});
