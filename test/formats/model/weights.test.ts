import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, suite, test } from "node:test";
import { FormatError } from "../../../src/errors.ts";
import { loadWeights, type LoadWeightsOptions, storesUntied } from "../../../src/formats/model/weights.ts";
import {
  encodeFloat32,
  openCheckpoint,
  type TensorToWrite,
  writeSafetensors,
} from "../../../src/formats/safetensors/index.ts";
import { zeros } from "../../../src/nn/init.ts";
import type { ParameterSpec } from "../../../src/nn/module.ts";
import { interpDevice } from "../../../src/runtime/interp.ts";
import { ortDevice } from "../../../src/runtime/node/device-node.ts";
import type { Device, FileTensor } from "../../../src/runtime/runtime.ts";
import { goldenCheckpoint, sha256 } from "./golden.ts";

let root: string;
let dir: string;
let count = 0;
before(async () => {
  root = await mkdtemp(join(tmpdir(), "lowrank-weights-"));
});
after(() => rm(root, { recursive: true }));
beforeEach(() => {
  dir = join(root, String(count++));
});

const TIED = { "lm_head.weight": "model.embed_tokens.weight" };

/** A device that can map files, and remembers from where. */
function mapping(): { device: Device; mapped: Map<string, FileTensor> } {
  const interp = interpDevice();
  const mapped = new Map<string, FileTensor>();
  const map = async (name: string, tensor: FileTensor) => {
    mapped.set(name, tensor);
    const { path, byteOffset, shape } = tensor;
    const bytes = (await readFile(path)).subarray(byteOffset, byteOffset + 4 * shape.reduce((a, b) => a * b, 1));
    await interp.write(name, { dtype: "float32", shape, data: new Float32Array(Uint8Array.from(bytes).buffer) });
  };
  return { device: { ...interp, kind: "cpu", map }, mapped };
}

async function hashesOn(device: Device, parameters: readonly ParameterSpec[]): Promise<Record<string, string>> {
  const entries = parameters.map(async ({ name }): Promise<[string, string]> => {
    const { data } = await device.read(name);
    return [name, sha256(Float32Array.from(data as ArrayLike<number>))];
  });
  return Object.fromEntries(await Promise.all(entries));
}

suite("checkpoints of transformers", () => {
  const cases: [string, LoadWeightsOptions, { mapped: number; inMemory: number; ignored: string[] }][] = [
    ["llama-bf16", {}, { mapped: 0, inMemory: 21, ignored: [] }],
    ["qwen2-f16", { tied: TIED }, { mapped: 0, inMemory: 26, ignored: [] }],
    ["qwen2-head-only", { tied: TIED }, { mapped: 26, inMemory: 0, ignored: [] }],
    [
      "gpt2-bare",
      { tied: { "lm_head.weight": "transformer.wte.weight" } },
      { mapped: 16, inMemory: 0, ignored: ["h.0.attn.bias", "h.0.attn.masked_bias"] },
    ],
  ];
  for (const [name, options, { mapped, inMemory, ignored }] of cases) {
    test(`${name}: every parameter has transformers' values`, async () => {
      const golden = goldenCheckpoint(name);
      const { device } = mapping();
      const loaded = await loadWeights(device, golden.parameters, golden.dir, options);
      assert.deepEqual(await hashesOn(device, golden.parameters), golden.hashes);
      assert.deepEqual(
        { ...loaded, ignored: loaded.ignored.toSorted() },
        { mapped, inMemory, cached: 0, ignored, missing: [], stored: new Map() },
      );
    });
  }

  test("the engine gives the same, and the reference interpreter, which maps nothing", async () => {
    const golden = goldenCheckpoint("qwen2-head-only");
    for (const device of [await ortDevice({ threads: 1 }), interpDevice()]) {
      const { mapped } = await loadWeights(device, golden.parameters, golden.dir, { tied: TIED });
      assert.equal(mapped, device.kind === "cpu" ? golden.parameters.length : 0);
      assert.deepEqual(await hashesOn(device, golden.parameters), golden.hashes);
      await device.dispose();
    }
  });

  test("names of the decoder alone find the tensors of a whole model", async () => {
    const golden = goldenCheckpoint("qwen2-f16");
    const bare = golden.parameters.map((spec) => ({ ...spec, name: spec.name.replace(/^model\./, "") }));
    const device = interpDevice();
    await loadWeights(device, bare, golden.dir, { tied: { "lm_head.weight": "embed_tokens.weight" } });
    assert.equal((await hashesOn(device, bare))["norm.weight"], golden.hashes["model.norm.weight"]);
  });

  test("names can be a model's own", async () => {
    const golden = goldenCheckpoint("gpt2-bare");
    const own = golden.parameters.map((spec) => ({ ...spec, name: `my.${spec.name}` }));
    const device = interpDevice();
    const storedName = (name: string) => name.slice("my.transformer.".length);
    await loadWeights(device, own, golden.dir, { storedName });
    assert.equal((await hashesOn(device, own))["my.transformer.wpe.weight"], golden.hashes["transformer.wpe.weight"]);
  });
});

suite("the float32 cache", () => {
  const golden = goldenCheckpoint("llama-bf16");

  async function load(options: LoadWeightsOptions = {}) {
    const { device, mapped } = mapping();
    let converted = 0;
    const loaded = await loadWeights(device, golden.parameters, dir, {
      inMemoryBytes: 0,
      cacheDir: join(dir, "cache"),
      onProgress: (bytes) => (converted = bytes),
      ...options,
    });
    assert.deepEqual(await hashesOn(device, golden.parameters), golden.hashes);
    assert.equal(loaded.cached, golden.parameters.length);
    const files = new Set([...mapped.values()].map(({ path }) => path));
    assert.equal(files.size, 1);
    return { converted, file: [...files][0]! };
  }
  beforeEach(() => cp(golden.dir, dir, { recursive: true }));

  test("is made once, maps every tensor, and leaves nothing else", async () => {
    const first = await load();
    assert.equal(
      first.converted,
      golden.parameters.reduce((sum, { shape }) => sum + 4 * shape.reduce((a, b) => a * b), 0),
    );
    assert.ok(first.file.startsWith(join(dir, "cache")));
    const second = await load();
    assert.deepEqual(second, { converted: 0, file: first.file });
    const [only, ...others] = await readdir(join(dir, "cache", "float32"));
    assert.deepEqual(others, []);
    assert.deepEqual((await readdir(join(dir, "cache", "float32", only!))).sort(), [
      "manifest.json",
      "model.safetensors",
    ]);
  });

  test("is made anew when a byte of it was changed, even if the time of the change was set back", async () => {
    const { file } = await load();
    const { atime, mtime } = await stat(file);
    const bytes = await readFile(file);
    bytes[bytes.length - 5]! ^= 1;
    await writeFile(file, bytes);
    await utimes(file, atime, mtime);
    assert.ok((await load()).converted > 0);
    assert.equal((await load()).converted, 0);
  });

  test("is kept when it was only touched", async () => {
    const { file } = await load();
    await utimes(file, new Date(), new Date());
    assert.equal((await load()).converted, 0);
  });

  for (const damage of ["truncated file", "no manifest", "half a manifest", "another manifest"]) {
    test(`is made anew: ${damage}`, async () => {
      const { file } = await load();
      const manifest = join(file, "..", "manifest.json");
      if (damage === "truncated file") await writeFile(file, (await readFile(file)).subarray(0, 100));
      if (damage === "no manifest") await rm(manifest);
      if (damage === "half a manifest") await writeFile(manifest, '{"version":');
      if (damage === "another manifest") await writeFile(manifest, "[]");
      assert.ok((await load()).converted > 0);
    });
  }

  test("is made anew when the checkpoint changed, whatever its size and time", async () => {
    await load();
    const path = join(dir, "model.safetensors");
    const { atime, mtime } = await stat(path);
    const bytes = await readFile(path);
    bytes[bytes.length - 1]! ^= 0x80;
    await writeFile(path, bytes);
    await utimes(path, atime, mtime);
    await assert.rejects(load(), assert.AssertionError); // other values than the golden ones: the new file's
  });

  test("a stopped conversion leaves nothing, and one that was killed is cleared away", async () => {
    const stop = new AbortController();
    const reason = new Error("stopped");
    const running = load({ signal: stop.signal, onProgress: () => stop.abort(reason) });
    await assert.rejects(running, (error) => error === reason);
    const root = join(dir, "cache", "float32");
    assert.deepEqual(await readdir(root), []);
    // No process has an id as high as this.
    await mkdir(join(root, `key.${hostname()}.999999999.ab.tmp`));
    await mkdir(join(root, `key.${hostname()}.${process.pid}.ab.tmp`));
    await load();
    assert.deepEqual(
      (await readdir(root)).filter((name) => name.endsWith(".tmp")),
      [`key.${hostname()}.${process.pid}.ab.tmp`],
    );
  });

  test("float32 tensors among others stay in their file", async () => {
    const source = await openCheckpoint(golden.dir);
    const tensors = [...source.tensors.values()].map(({ name, dtype, shape }): TensorToWrite => {
      if (!name.includes("norm")) return { name, dtype, shape, data: () => source.read(name) };
      return { name, dtype: "F32", shape, data: () => source.readFloat32(name) };
    });
    await writeSafetensors(join(dir, "model.safetensors"), tensors);
    await source.close();
    const { device, mapped } = mapping();
    const loaded = await loadWeights(device, golden.parameters, dir, {
      inMemoryBytes: 0,
      cacheDir: join(dir, "cache"),
    });
    assert.deepEqual([loaded.mapped, loaded.cached], [5, 16]);
    assert.ok(mapped.get("model.norm.weight")!.path.endsWith("model.safetensors"));
    assert.ok(!mapped.get("model.norm.weight")!.path.includes("cache"));
    assert.deepEqual(await hashesOn(device, golden.parameters), golden.hashes);
  });
});

suite("checkpoints that do not fit", () => {
  const spec = (name: string, ...shape: number[]): ParameterSpec => ({ name, shape, init: zeros });
  const f32 = (name: string, shape: number[], value = 1): TensorToWrite => {
    return { name, dtype: "F32", shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value) };
  };
  async function refused(
    tensors: TensorToWrite[],
    parameters: ParameterSpec[],
    parts: (string | RegExp)[],
    options = {},
  ) {
    const path = `${dir}.safetensors`;
    await writeSafetensors(path, tensors);
    await assert.rejects(loadWeights(interpDevice(), parameters, path, options), (error) => {
      assert.ok(error instanceof FormatError, String(error));
      for (const part of parts)
        assert.match(error.message, part instanceof RegExp ? part : new RegExp(part.replaceAll(/[[\].()]/g, "\\$&")));
      return true;
    });
  }

  test("missing, unexpected and misshapen tensors are listed together, with the nearest names", () =>
    refused(
      [
        f32("model.a.weigth", [2]),
        f32("model.b.weight", [3, 2]),
        { name: "model.c.weight", dtype: "I32", shape: [1], data: new Int32Array(1) },
      ],
      [spec("model.a.weight", 2), spec("model.b.weight", 2, 3), spec("model.c.weight", 1)],
      [
        "1 missing: model.a.weight (nearest: model.a.weigth)",
        "1 not of this model: model.a.weigth (nearest: model.a.weight)",
        "model.b.weight is [3, 2], not [2, 3]",
        "model.c.weight is I32, not F32, F16, BF16 or F64",
      ],
    ));

  test("a tensor under two names of one parameter", () =>
    refused([f32("model.a", [2]), f32("a", [2])], [spec("model.a", 2)], ["model.a is there 2 times: a, model.a"]));

  test("a classifier, a vision model, an adapter and a quantised model are called so", async () => {
    const parameters = [spec("model.a", 2)];
    await refused([f32("model.a", [2]), f32("score.weight", [2])], parameters, [/classifier/]);
    await refused([f32("model.a", [2]), f32("model.visual.x", [2])], parameters, [/images/]);
    await refused([f32("model.a", [2]), f32("model.a.lora_A.weight", [2])], parameters, [/adapter/]);
    await refused([f32("model.a.qweight", [2])], parameters, [/quantised/]);
  });

  test("tied names with different values, which are then told apart", async () => {
    const parameters = [spec("model.embed_tokens.weight", 2)];
    const stored = (head: number) => [f32("model.embed_tokens.weight", [2]), f32("lm_head.weight", [2], head)];
    await refused(
      stored(2),
      parameters,
      ["lm_head.weight and model.embed_tokens.weight are tied", /tie_word_embeddings/],
      { tied: TIED },
    );
    const path = `${dir}.safetensors`;
    assert.equal(await storesUntied(parameters, path, { tied: TIED }), true);
    await writeSafetensors(path, stored(1));
    assert.equal(await storesUntied(parameters, path, { tied: TIED }), false);
    const device = interpDevice();
    await loadWeights(device, parameters, path, { tied: TIED });
    assert.deepEqual([...(await device.read("model.embed_tokens.weight")).data], [1, 1]);
  });

  test("a folder with a pickle is refused, with the way to convert it", async () => {
    await cp(goldenCheckpoint("llama-bf16").dir, dir, { recursive: true });
    await rm(join(dir, "model.safetensors"));
    await writeFile(join(dir, "pytorch_model.bin"), "PK");
    await assert.rejects(loadWeights(interpDevice(), [], dir), /pytorch_model\.bin is a pickle.*save_pretrained/s);
  });

  test("an index that leaves its folder or names a shard that is missing is refused", async () => {
    const golden = goldenCheckpoint("qwen2-f16");
    await cp(golden.dir, dir, { recursive: true });
    const path = join(dir, "model.safetensors.index.json");
    const text = await readFile(path, "utf8");
    const load = () => loadWeights(interpDevice(), golden.parameters, dir, { tied: TIED });
    await writeFile(path, text.replaceAll("model-00002-of-00002.safetensors", "../../secret.safetensors"));
    await assert.rejects(load(), (error) => error instanceof FormatError && /secret/.test(error.message));
    await writeFile(path, text);
    await rm(join(dir, "model-00002-of-00002.safetensors"));
    await assert.rejects(load(), (error) => error instanceof FormatError && /model-00002-of-00002/.test(error.message));
  });

  test("float64 is rounded", async () => {
    const path = `${dir}.safetensors`;
    await writeSafetensors(path, [{ name: "a", dtype: "F64", shape: [2], data: new Float64Array([0.1, -3]) }]);
    const device = interpDevice();
    await loadWeights(device, [spec("a", 2)], path);
    assert.deepEqual(
      [...(await device.read("a")).data].map((value) => Math.fround(Number(value))),
      [Math.fround(0.1), -3],
    );
    assert.equal(encodeFloat32("F64", new Float32Array(1)).length, 8);
  });
});
