/** Adapters of language models between PEFT and us, in both directions: golden/make/peft_language.py. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type Adapter, adapterHook, attach, resolveParameter } from "../../src/adapters/adapter.ts";
import { initializeAdapter } from "../../src/adapters/initialize.ts";
import { lora } from "../../src/adapters/lora.ts";
import { merge, unmerge } from "../../src/adapters/merge.ts";
import { addWeightedAdapter } from "../../src/adapters/weighted.ts";
import { readModelConfig } from "../../src/formats/model/config.ts";
import { hotswap, loadAdapter, restoreAdapter, saveAdapter } from "../../src/formats/peft/index.ts";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { scalar } from "../../src/ir/ops/constant.ts";
import { expand } from "../../src/ir/ops/expand.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { reduceSum } from "../../src/ir/ops/reduce-sum.ts";
import { reshape } from "../../src/ir/ops/reshape.ts";
import { softmaxCrossEntropy } from "../../src/ir/ops/softmax-cross-entropy.ts";
import { dim } from "../../src/ir/shape.ts";
import { sequenceFeeds, wholeSequence } from "../../src/lm/sequence.ts";
import type { TextModel } from "../../src/models/text-model.ts";
import { familyOf } from "../../src/models/index.ts";
import type { Tracing } from "../../src/nn/module.ts";
import { adamw } from "../../src/optim/adam.ts";
import { interpDevice } from "../../src/runtime/interp.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import type { Device, Feeds, Tensor } from "../../src/runtime/runtime.ts";
import { readAll, scatterParameters, tracingOf } from "../../src/testing/method-rig.ts";
import { Stepper } from "../../src/train/stepper.ts";
import { trainingGraph } from "../../src/train/training-graph.ts";

interface Expected {
  readonly input_ids: readonly (readonly number[])[];
  readonly labels: readonly (readonly number[])[];
  readonly logits: readonly number[];
  readonly losses: readonly number[];
  readonly lr: number;
}

interface Mixed {
  readonly input_ids: readonly (readonly number[])[];
  readonly rows: readonly number[];
  readonly weights: readonly number[];
  readonly weighted: readonly number[];
}

type Model = TextModel & { readonly defaultTargets: readonly string[] };

const IGNORED = -100;
/** Of the largest element. The models round norms to float32 on PEFT's side, and cosines on both. */
const EXACT = 2e-6;
/** Relative, after up to five steps of AdamW, which divides by √v. */
const CURVE = 2e-5;
/** float32 rounds each of at most a hundred terms to 2⁻²⁴, in two blocks. */
const ROUNDING = 1e-5;

const GOLDEN = fileURLToPath(new URL("../../../golden/peft-language", import.meta.url));
const FOLDERS = readdirSync(GOLDEN).filter((name) => existsSync(join(GOLDEN, name, "adapter_config.json")));

const models = new Map<string, Model>();
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "lowrank-peft-language-"));
  for (const name of ["qwen2", "gpt2"]) {
    const config = await readModelConfig(join(GOLDEN, name));
    const family = familyOf(config.modelType);
    models.set(name, { ...family.build(config), defaultTargets: family.defaultTargets });
    config.check();
  }
});
after(() => rm(folder, { recursive: true }));

const modelOf = (name: string) => models.get(name.split("-")[0]!)!;
const expectedOf = (name: string) => JSON.parse(readFileSync(join(GOLDEN, name, "expected.json"), "utf8")) as Expected;
const configOf = (dir: string) =>
  JSON.parse(readFileSync(join(dir, "adapter_config.json"), "utf8")) as Readonly<Record<string, unknown>>;

async function open(name: string, device: Device): Promise<Model> {
  const model = modelOf(name);
  const file = await openSafetensors(join(GOLDEN, name.split("-")[0]!, "model.safetensors"));
  for (const { name: state, shape } of model.parameters) {
    await device.write(state, { dtype: "float32", shape, data: await file.readFloat32(state) });
  }
  await file.close();
  return model;
}

async function opened(name: string): Promise<{ device: Device; model: Model; adapter: Adapter }> {
  const device = interpDevice();
  const model = await open(name, device);
  const { adapter } = await loadAdapter(device, model, join(GOLDEN, name));
  return { device, model, adapter };
}

/** Logits of every position, [B · T, V]. */
function traceLogits(tracing: Tracing, model: TextModel, stateOf: (name: string) => string): Value {
  const resolved: Tracing = { ...tracing, parameter: (name, shape) => tracing.parameter(stateOf(name), shape) };
  const hidden = model.hidden(resolved, wholeSequence(tracing.graph, model));
  return model.head(resolved, reshape(hidden, [-1, model.hiddenSize]));
}

function feedsOf(model: TextModel, ids: readonly (readonly number[])[]): Feeds {
  const [batch, length] = [ids.length, ids[0]!.length];
  const tokens = Int32Array.from(ids.flat());
  const positions = tokens.map((_, i) => i % length);
  return sequenceFeeds(model, { batch, length, tokens, segments: tokens.map(() => 1), positions });
}

async function run(device: Device, graph: Graph, feeds: Feeds): Promise<number[]> {
  const executable = await device.compile(graph);
  try {
    return Array.from((await executable.run(feeds)).logits!.data, Number);
  } finally {
    await executable.dispose();
  }
}

async function logitsOf(
  device: Device,
  model: TextModel,
  ids: Expected["input_ids"],
  adapters: readonly Adapter[],
  tied: Readonly<Record<string, string>> = model.tied,
): Promise<number[]> {
  const graph = new Graph();
  const hook = adapters.length === 0 ? {} : { adapt: adapterHook(adapters) };
  const logits = traceLogits({ ...tracingOf(graph), ...hook }, model, resolveParameter(adapters, tied));
  graph.output("logits", logits);
  return run(device, graph, feedsOf(model, ids));
}

async function tensorsOf(dir: string): Promise<Map<string, readonly number[]>> {
  const file = await openSafetensors(join(dir, "adapter_model.safetensors"));
  const tensors = new Map<string, readonly number[]>();
  for (const [name, { shape }] of file.tensors) tensors.set(name, [...shape, ...(await file.readFloat32(name))]);
  await file.close();
  // With `bias: all` PEFT writes the biases of modules to save a second and a third time, and never reads those.
  const read = [...tensors].filter(([name]) => !/\.(modules_to_save|original_module)\./.test(name));
  return new Map(read.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** @param tolerance of the largest element */
function near(got: readonly number[], want: readonly number[], tolerance: number, what: string): void {
  assert.equal(got.length, want.length, what);
  const largest = Math.max(...want.map(Math.abs));
  want.forEach((value, i) => {
    const error = Math.abs(got[i]! - value) / largest;
    assert.ok(error <= tolerance, `${what}: element ${i} is ${got[i]}, not ${value} (${error.toExponential(1)})`);
  });
}

/** Warnings that are deserved. */
const WARNED: Readonly<Record<string, RegExp>> = {
  "qwen2-embedding-tied": /ensure_weight_tying: the updates of tied layers are loaded one by one/,
};

for (const name of FOLDERS) {
  describe(name, () => {
    it("is loaded with its logits, and has an effect", async () => {
      const device = interpDevice();
      const model = await open(name, device);
      const { adapter, warnings } = await loadAdapter(device, model, join(GOLDEN, name));
      const warned = WARNED[name];
      assert.equal(warnings.length, warned === undefined ? 0 : 1, warnings.join());
      if (warned !== undefined) assert.match(warnings[0]!, warned);
      const { input_ids: ids, logits } = expectedOf(name);
      near(await logitsOf(device, model, ids, [adapter]), logits, EXACT, "logits");
      assert.throws(() => near([...logits], [], EXACT, ""));
      const base = await logitsOf(device, model, ids, []);
      assert.throws(() => near(base, logits, 1e-2, "logits of the base"));
    });

    it("is written again as it was", async () => {
      const { device, adapter } = await opened(name);
      const dir = join(folder, name);
      const theirs = configOf(join(GOLDEN, name));
      const taskType = theirs.task_type as string | null;
      const auto = theirs.auto_mapping as { base_model_class: string; parent_library: string } | null;
      await saveAdapter(device, adapter, dir, {
        ...(taskType === null ? {} : { taskType }),
        ...(auto === null
          ? {}
          : { autoMapping: { baseModelClass: auto.base_model_class, parentLibrary: auto.parent_library } }),
      });
      assert.deepEqual(await tensorsOf(dir), await tensorsOf(join(GOLDEN, name)));
      const { peft_version: ourVersion, ...ours } = configOf(dir);
      const { peft_version: _theirs, ...rest } = theirs;
      assert.match(String(ourVersion), /^0\.21\./);
      assert.deepEqual(ours, rest);
      assert.deepEqual(Object.keys(configOf(dir)), Object.keys(theirs), "the keys are sorted as PEFT sorts them");
      await restoreAdapter(device, adapter, dir);
    });

    it("is trained as PEFT trains it", async () => {
      const { device, model, adapter } = await opened(name);
      const { input_ids: ids, labels, losses, lr } = expectedOf(name);
      const next = labels.flatMap((row) => [...row.slice(1), IGNORED]);
      const count = next.filter((label) => label !== IGNORED).length;
      const optimizer = adamw({ weightDecay: 0 });
      const stateOf = resolveParameter([adapter], model.tied);
      const training = trainingGraph({
        parameters: [...model.parameters, ...adapter.parameters],
        trainable: new Set(adapter.parameters.map((spec) => spec.name)),
        optimizer,
        adapt: (seed) => adapterHook([adapter], { seed }),
        loss: (tracing) => {
          const target = tracing.graph.feed("labels", { dtype: "int32", shape: [dim("B"), dim("T")] });
          const rows = traceLogits(tracing, model, stateOf);
          const sum = reduceSum(softmaxCrossEntropy(rows, reshape(target, [-1])));
          return mul(sum, scalar(tracing.graph, 1 / count));
        },
      });
      const stepper = await Stepper.create(device, training, { optimizer });
      const shape = [ids.length, ids[0]!.length];
      const feeds = { ...feedsOf(model, ids), labels: { dtype: "int32", shape, data: Int32Array.from(next) } as const };
      for (const [i, expected] of losses.entries()) {
        near([(await stepper.step(feeds, lr)).loss], [expected], CURVE, `loss of step ${i + 1}`);
      }
    });

    it("computes the same when it is merged, and unmerging restores every bit", async () => {
      const { device, model, adapter } = await opened(name);
      const { input_ids: ids, logits } = expectedOf(name);
      const before = await readAll(device, model.parameters);
      if (name.endsWith("lora-bias")) {
        await assert.rejects(merge(device, adapter), /layers\.0\.self_attn\.o_proj: has no bias/);
        return;
      }
      const merged = await merge(device, adapter);
      near(await logitsOf(device, model, ids, [], merged.tied), logits, EXACT, "merged logits");
      for (const { name: parameter } of merged.parameters) await device.read(parameter);
      const isUntied = /save-(head|embedding)|qwen2-embedding|gpt2-embedding/.test(name);
      assert.equal(Object.keys(merged.tied).length, isUntied ? 0 : 1, "whether the head still has the table");
      await unmerge(device, merged);
      for (const [parameter, tensor] of before) assert.deepEqual(await device.read(parameter), tensor, parameter);
      await assert.rejects(async () => {
        for (const added of merged.added.length === 0 ? ["none"] : merged.added) await device.read(added);
      });
    });

    it("has the tensors that attaching with its settings makes", async () => {
      const model = modelOf(name);
      const settings = configOf(join(GOLDEN, name));
      const options = {
        ...(name === "gpt2-default" ? {} : { targetModules: settings.target_modules as string[] }),
        excludeModules: (settings.exclude_modules ?? []) as string[],
        modulesToSave: (settings.modules_to_save ?? []) as string[],
        ...(settings.layers_to_transform === null ? {} : { layersToTransform: settings.layers_to_transform as number }),
        bias: settings.bias as "none",
        ensureWeightTying: settings.ensure_weight_tying as boolean,
        config: {
          r: 4,
          alpha: 10,
          loraBias: settings.lora_bias as boolean,
          rankPattern: settings.rank_pattern as Record<string, number>,
        },
      };
      if (name === "qwen2-embedding-tied") {
        assert.throws(() => attach(model, lora, options), /ensure_weight_tying: not supported for targets/);
        return;
      }
      const fresh = attach(model, lora, options);
      const device = interpDevice();
      await open(name, device);
      await initializeAdapter(device, fresh, 1);
      const dir = join(folder, `${name}-fresh`);
      await saveAdapter(device, fresh, dir);
      assert.deepEqual([...(await tensorsOf(dir)).keys()], [...(await tensorsOf(join(GOLDEN, name))).keys()]);
      const { input_ids: ids } = expectedOf(name);
      // It starts as the base, whatever it copies.
      assert.deepEqual(await logitsOf(device, model, ids, [fresh]), await logitsOf(device, model, ids, []));
      const { warnings } = await loadAdapter(device, model, dir, { name: "again" });
      const idle = fresh.copies.size === 0;
      assert.equal(warnings.filter((warning) => warning.includes("changes nothing")).length, idle ? 1 : 0);
    });
  });
}

describe("adapters of one model together", () => {
  const mixed = JSON.parse(readFileSync(join(GOLDEN, "mixed.json"), "utf8")) as Mixed;
  const ids = mixed.input_ids;
  const [rows, length] = [ids.length, ids[0]!.length];

  const load = async (device: Device, model: Model, ...names: readonly string[]) => {
    const adapters: Adapter[] = [];
    for (const name of names) {
      const options = { name: name.replaceAll("-", "_") };
      adapters.push((await loadAdapter(device, model, join(GOLDEN, name), options)).adapter);
    }
    return adapters;
  };

  /** Logits with one row of gates per adapter, a number for each sequence. */
  const gated = async (
    device: Device,
    model: Model,
    adapters: readonly Adapter[],
    weights: readonly (readonly number[])[],
  ) => {
    const graph = new Graph();
    const [B, T] = [dim("B"), dim("T")];
    const gates = new Map<string, Value>();
    const feeds: Record<string, Tensor> = {};
    for (const [i, { name }] of adapters.entries()) {
      const gate = graph.feed(`gate/${name}`, { dtype: "float32", shape: [B] });
      gates.set(name, reshape(expand(reshape(gate, [B, 1]), [B, T]), [-1, 1]));
      feeds[`gate/${name}`] = { dtype: "float32", shape: [rows], data: Float32Array.from(weights[i]!) };
    }
    const adapt = adapterHook(adapters, { gates });
    graph.output("logits", traceLogits({ ...tracingOf(graph), adapt }, model, resolveParameter([], model.tied)));
    return run(device, graph, { ...feedsOf(model, ids), ...feeds });
  };

  it("each row with its own, as in PEFT", async () => {
    const device = interpDevice();
    const model = await open("qwen2", device);
    const adapters = await load(device, model, "qwen2-patterns", "qwen2-embedding");
    const logits = await gated(device, model, adapters, [
      [1, 0, 0],
      [0, 0, 1],
    ]);
    near(logits, mixed.rows, EXACT, "logits");
  });

  for (const family of ["qwen2", "gpt2"]) {
    it(`${family}: gates of 0 give the base, bit for bit on the engine, and gates of 1 the adapters`, async () => {
      const device = await ortDevice({ threads: 1 });
      try {
        const model = await open(family, device);
        const names =
          family === "qwen2" ? ["qwen2-embedding-and-head", "qwen2-lora-bias"] : ["gpt2-embedding", "gpt2-all-linear"];
        const adapters = await load(device, model, ...names);
        const base = await logitsOf(device, model, ids, []);
        const zeros = ids.map(() => 0);
        assert.deepEqual(await gated(device, model, adapters, [zeros, zeros]), base);
        const ones = ids.map(() => 1);
        // Products that a gate comes between are not put into one: the same sums in another order.
        const opened = await gated(device, model, adapters, [ones, zeros]);
        near(opened, await logitsOf(device, model, ids, adapters.slice(0, 1)), ROUNDING, "gates of 1");
        const some = await gated(device, model, adapters, [zeros, [0, 1, 0]]);
        const row = some.length / rows;
        assert.deepEqual(some.slice(0, row), base.slice(0, row));
        assert.notDeepEqual(some.slice(row, 2 * row), base.slice(row, 2 * row));
        assert.deepEqual(some.slice(2 * row), base.slice(2 * row));
      } finally {
        await device.dispose();
      }
    });
  }

  it("a gate between 0 and 1 is a weight", async () => {
    const device = interpDevice();
    const model = await open("qwen2", device);
    const [one] = await load(device, model, "qwen2-lora-bias");
    const half = await gated(device, model, [one!], [ids.map(() => 0.5)]);
    const mix = await addWeightedAdapter(device, [one!], [0.5], { name: "half", combinationType: "cat" });
    near(half, await logitsOf(device, model, ids, [mix]), EXACT, "logits");
  });

  it("mixed by weights: as PEFT's cat, and linear the same with no more columns than it takes", async () => {
    const device = interpDevice();
    const model = await open("qwen2", device);
    const adapters = await load(device, model, "qwen2-all-linear", "qwen2-blocks");
    for (const combinationType of ["cat", "linear", "svd"] as const) {
      const name = `mix_${combinationType}`;
      const mix = await addWeightedAdapter(device, adapters, mixed.weights, { name, combinationType, svdRank: 8 });
      assert.deepEqual([mix.config.r, mix.config.alpha], [8, 8]);
      near(await logitsOf(device, model, ids, [mix]), mixed.weighted, EXACT, combinationType);
      const dir = join(folder, name);
      await saveAdapter(device, mix, dir);
      const { adapter: again, warnings } = await loadAdapter(device, model, dir, { name: `${name}_again` });
      assert.deepEqual(warnings, []);
      assert.deepEqual(await logitsOf(device, model, ids, [again]), await logitsOf(device, model, ids, [mix]));
    }
    assert.equal(length, 5);
  });

  it("mixed with everything that an adapter can have: the update is the sum of the updates", async () => {
    const device = interpDevice();
    const model = await open("qwen2", device);
    const adapters = await load(device, model, "qwen2-bias-all", "qwen2-save-norms", "qwen2-embedding");
    const weights = [1, 0.5, -2];
    const before = await readAll(device, model.parameters);
    /** Merged parameters minus the base's, by name. */
    const update = async (adapter: Adapter) => {
      const merged = await merge(device, adapter);
      const after = await readAll(device, merged.parameters);
      await unmerge(device, merged);
      return (name: string, i: number) =>
        Number((after.get(name) ?? before.get(name)!).data[i]) - Number(before.get(name)!.data[i]);
    };
    const mix = await addWeightedAdapter(device, adapters, weights, { name: "mix", combinationType: "linear" });
    assert.equal(mix.bias, "all");
    assert.deepEqual(mix.modulesToSave, ["norm"]);
    const whole = await update(mix);
    const parts = [await update(adapters[0]!), await update(adapters[1]!), await update(adapters[2]!)];
    for (const [name, { data }] of before) {
      for (let i = 0; i < data.length; i++) {
        const sum = parts.reduce((total, part, at) => total + weights[at]! * part(name, i), 0);
        assert.ok(Math.abs(whole(name, i) - sum) < 1e-5, `${name}: ${whole(name, i)} and not ${sum}`);
      }
    }
  });

  it("one swapped for another in the same graph: lower ranks, other scalings, fewer layers", async () => {
    const device = await ortDevice({ threads: 1 });
    try {
      const model = await open("qwen2", device);
      const config = { r: 6, alpha: 9 };
      const existing = attach(model, lora, {
        name: "slot",
        targetModules: ["q_proj", "v_proj", "up_proj", "down_proj"],
        config,
      });
      await scatterParameters(device, existing.parameters);
      const graph = new Graph();
      const adapt = adapterHook([existing]);
      graph.output("logits", traceLogits({ ...tracingOf(graph), adapt }, model, resolveParameter([], model.tied)));
      const executable = await device.compile(graph);
      const feeds = feedsOf(model, expectedOf("qwen2-patterns").input_ids);
      const before = Array.from((await executable.run(feeds)).logits!.data, Number);
      await hotswap(device, model, existing, join(GOLDEN, "qwen2-patterns"));
      const swapped = Array.from((await executable.run(feeds)).logits!.data, Number);
      near(swapped, expectedOf("qwen2-patterns").logits, ROUNDING, "logits");
      assert.throws(() => near(before, swapped, 1e-2, ""));
      for (const [name, message] of [
        ["qwen2-all-linear", /gate_proj is not adapted/],
        ["qwen2-save-norms", /model\.norm\.weight is not copied/],
        ["qwen2-lora-bias", /no room for the bias of lora_bias.*o_proj is not adapted/s],
      ] as const) {
        await assert.rejects(hotswap(device, model, existing, join(GOLDEN, name)), message);
      }
      assert.deepEqual(Array.from((await executable.run(feeds)).logits!.data, Number), swapped);
      await executable.dispose();
    } finally {
      await device.dispose();
    }
  });

  it("two that copy the same parameter cannot be on together, nor be merged together", async () => {
    const device = interpDevice();
    const model = await open("qwen2", device);
    const adapters = await load(device, model, "qwen2-save-head", "qwen2-save-tied");
    assert.throws(
      () => resolveParameter(adapters, model.tied),
      /"qwen2_save_head" and "qwen2_save_tied" both replace lm_head/,
    );
    await assert.rejects(merge(device, adapters), /both replace lm_head\.weight/);
  });

  it("merged together, they add up", async () => {
    const device = interpDevice();
    const model = await open("qwen2", device);
    const adapters = await load(device, model, "qwen2-save-head", "qwen2-embedding", "qwen2-patterns");
    const expected = await logitsOf(device, model, ids, adapters);
    const merged = await merge(device, adapters);
    assert.deepEqual(merged.tied, {});
    near(await logitsOf(device, model, ids, [], merged.tied), expected, EXACT, "logits");
  });
});

describe("the table that comes with an adapter", () => {
  it("is left aside where it is the base's, and stands in for it where it is another one", async () => {
    const { device, model, adapter } = await opened("qwen2-embedding");
    const { input_ids: ids } = expectedOf("qwen2-embedding");
    assert.equal(adapter.copies.size, 0);
    const dir = join(folder, "table");
    await saveAdapter(device, adapter, dir);
    const expected = await logitsOf(device, model, ids, [adapter]);

    const other = interpDevice();
    await open("qwen2", other);
    const { shape, data } = await other.read("model.embed_tokens.weight");
    const moved = Float32Array.from(data as Float32Array, (value) => value + 0.5);
    await other.write("model.embed_tokens.weight", { dtype: "float32", shape, data: moved });
    const loaded = await loadAdapter(other, model, dir);
    assert.equal(loaded.warnings.length, 2);
    assert.match(loaded.warnings[0]!, /model\.embed_tokens\.weight: the adapter brings a table of its own/);
    // PEFT reads it into the one weight that the embedding and the head share.
    assert.deepEqual([...loaded.adapter.copies.keys()], ["model.embed_tokens.weight", "lm_head.weight"]);
    assert.deepEqual(await logitsOf(other, model, ids, [loaded.adapter]), expected);
    assert.ok(
      loaded.adapter.parameters.every(({ name }) => name.includes("lora_")),
      "it is not trained",
    );
    // It is written and read again.
    await saveAdapter(other, loaded.adapter, dir);
    const again = await loadAdapter(other, model, dir, { name: "again" });
    assert.deepEqual(await logitsOf(other, model, ids, [again.adapter]), expected);
  });

  it("can be left out", async () => {
    const { device, model, adapter } = await opened("qwen2-embedding");
    const dir = join(folder, "no-table");
    await saveAdapter(device, adapter, dir, { saveEmbeddingLayers: false });
    assert.ok(![...(await tensorsOf(dir)).keys()].some((key) => key.includes("base_layer")));
    assert.deepEqual((await loadAdapter(device, model, dir, { name: "again" })).warnings, []);
  });
});
