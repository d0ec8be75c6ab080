/** Adapters between PEFT and us, in both directions: golden/make/peft_adapters.py. What is refused: peft-hostile.test.ts. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { attach } from "../../src/adapters/adapter.ts";
import { configure } from "../../src/adapters/settings.ts";
import { lora, type LoraConfig } from "../../src/adapters/lora.ts";
import type { Method } from "../../src/adapters/method.ts";
import { FormatError } from "../../src/errors.ts";
import { loadAdapter, saveAdapter } from "../../src/formats/peft/index.ts";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../../src/formats/safetensors/index.ts";
import { interpDevice } from "../../src/runtime/interp.ts";
import type { Device, Tensor } from "../../src/runtime/runtime.ts";
import { convRig, logitsOf, mlpRig, scatterParameters } from "../../src/testing/method-rig.ts";
import { initializeParameters } from "../../src/parameters.ts";

interface Golden {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

interface Expected {
  readonly base: Readonly<Record<string, Golden>>;
  readonly x: Golden;
  readonly logits: readonly number[];
}

const golden = (folder: string) => fileURLToPath(new URL(`../../../golden/peft/${folder}`, import.meta.url));

const ADAPTERS: readonly { folder: string; layers: readonly string[]; config: Partial<LoraConfig>; base?: string }[] = [
  {
    folder: "mlp",
    layers: ["fc1", "fc3"],
    config: { r: 4, alpha: 10, dropout: 0, useRslora: false, init: "gaussian" },
  },
  { folder: "mlp-rslora", layers: ["fc1", "fc2"], config: { r: 3, alpha: 5, dropout: 0.1, useRslora: true } },
  { folder: "mlp-bfloat16", layers: ["fc2"], config: { r: 2, alpha: 7, init: "kaiming" } },
  { folder: "conv", layers: ["conv1", "fc"], config: { r: 2, alpha: 3 } },
];

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "lowrank-peft-"));
});
after(() => rm(folder, { recursive: true }));

async function tensorsOf(dir: string): Promise<Record<string, Golden>> {
  const file = await openSafetensors(join(dir, "adapter_model.safetensors"));
  const tensors: Record<string, Golden> = {};
  for (const [name, { shape }] of file.tensors) tensors[name] = { shape, data: [...(await file.readFloat32(name))] };
  await file.close();
  return tensors;
}

async function configOf(dir: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(join(dir, "adapter_config.json"), "utf8")) as Record<string, unknown>;
}

describe("an adapter that PEFT saved", () => {
  for (const { folder: name, layers, config } of ADAPTERS) {
    const rig = name === "conv" ? convRig([1, 0]) : mlpRig();
    const expected = JSON.parse(readFileSync(join(golden(name), "expected.json"), "utf8")) as Expected;
    const open = async (device: Device) => {
      for (const [state, { shape, data }] of Object.entries(expected.base)) {
        await device.write(state, { dtype: "float32", shape, data: Float32Array.from(data) });
      }
      return loadAdapter(device, rig.model, golden(name));
    };

    it(`${name}: has its settings, its layers and its logits`, async () => {
      const device = interpDevice();
      const { adapter, warnings } = await open(device);
      assert.deepEqual(warnings, []);
      assert.equal(adapter.name, "default");
      assert.deepEqual({ ...(adapter.config as LoraConfig), ...config }, adapter.config);
      assert.deepEqual(
        adapter.targets.map(({ layer }) => layer.name),
        layers,
      );
      const x: Tensor = { dtype: "float32", shape: expected.x.shape, data: Float32Array.from(expected.x.data) };
      const logits = await logitsOf(device, rig, x, [adapter]);
      // The device computes in float64, as PEFT did here, and gives back float32.
      assert.deepEqual([...logits.data], [...Float32Array.from(expected.logits)]);
    });

    it(`${name}: is written again as it was`, async () => {
      const device = interpDevice();
      const { adapter } = await open(device);
      await saveAdapter(device, adapter, join(folder, name));
      assert.deepEqual(await tensorsOf(join(folder, name)), await tensorsOf(golden(name)));
      const [ours, theirs] = [await configOf(join(folder, name)), await configOf(golden(name))];
      for (const [key, value] of Object.entries(ours)) {
        // Which class PEFT wrapped, and which release of it did.
        if (key === "auto_mapping" || key === "peft_version") continue;
        assert.deepEqual(value, theirs[key], key);
      }
    });
  }

  it("can have a name, and settings that its file does not hold", async () => {
    const device = interpDevice();
    const { model } = mlpRig();
    const { adapter } = await loadAdapter(device, model, golden("mlp"), { name: "mine", config: { form: "weight" } });
    assert.equal((adapter.config as LoraConfig).form, "weight");
    assert.equal(adapter.parameters[0]!.name, "fc1.lora_A.mine.weight");
    assert.deepEqual((await device.read("fc1.lora_A.mine.weight")).shape, [4, 7]);
  });
});

describe("adapter_config.json", () => {
  it("has all settings of PEFT 0.21, in its layout", async () => {
    const device = interpDevice();
    const rig = mlpRig();
    const config = { r: 4, alpha: 10, dropout: 0.05, useRslora: true, init: "standard-normal" } as const;
    const adapter = attach(rig.model, lora, { targetModules: ["fc3", "fc1"], config });
    await initializeParameters(device, adapter.parameters, 0);
    const dir = join(folder, "new", "nested");
    await saveAdapter(device, adapter, dir, { baseModelNameOrPath: "Qwen/Qwen2.5-0.5B" });
    assert.equal(
      await readFile(join(dir, "adapter_config.json"), "utf8"),
      `{
  "alora_invocation_tokens": null,
  "alpha_pattern": {},
  "arrow_config": null,
  "auto_mapping": null,
  "base_model_name_or_path": "Qwen/Qwen2.5-0.5B",
  "bias": "none",
  "corda_config": null,
  "ensure_weight_tying": false,
  "eva_config": null,
  "exclude_modules": null,
  "fan_in_fan_out": false,
  "inference_mode": true,
  "init_lora_weights": true,
  "kasa_config": null,
  "layer_replication": null,
  "layers_pattern": null,
  "layers_to_transform": null,
  "loftq_config": {},
  "lora_alpha": 10,
  "lora_bias": false,
  "lora_dropout": 0.05,
  "lora_ga_config": null,
  "megatron_config": null,
  "megatron_core": "megatron.core",
  "modules_to_save": null,
  "monteclora_config": null,
  "peft_type": "LORA",
  "peft_version": "0.21.0",
  "qalora_group_size": 16,
  "r": 4,
  "rank_pattern": {},
  "revision": null,
  "target_modules": [
    "fc3",
    "fc1"
  ],
  "target_parameters": null,
  "task_type": null,
  "trainable_token_indices": null,
  "use_bdlora": null,
  "use_dora": false,
  "use_qalora": false,
  "use_rslora": true,
  "velora_config": null
}`,
    );
    const file = await openSafetensors(join(dir, "adapter_model.safetensors"));
    await file.close();
    assert.deepEqual({ ...file.metadata }, { format: "pt" });
    assert.deepEqual([...file.tensors.keys()].sort(), [
      "base_model.model.fc1.lora_A.weight",
      "base_model.model.fc1.lora_B.weight",
      "base_model.model.fc3.lora_A.weight",
      "base_model.model.fc3.lora_B.weight",
    ]);
    const { baseModelNameOrPath } = await loadAdapter(device, rig.model, dir);
    assert.equal(baseModelNameOrPath, "Qwen/Qwen2.5-0.5B");
  });

  it("may have any subset of the settings, and others, which are reported", async () => {
    const device = interpDevice();
    const rig = mlpRig();
    const adapter = attach(rig.model, lora, { targetModules: ["fc1"] });
    await initializeParameters(device, adapter.parameters, 0);
    const dir = join(folder, "subset");
    await saveAdapter(device, adapter, dir);
    await writeFile(join(dir, "adapter_config.json"), '{"peft_type": "LORA", "brand_new": 1, "eva_config": null}');
    const loaded = await loadAdapter(device, rig.model, dir);
    assert.deepEqual({ ...(loaded.adapter.config as LoraConfig) }, configure(lora, {}));
    assert.deepEqual(loaded.adapter.targetModules, ["fc1"]);
    assert.deepEqual(loaded.warnings, [
      'adapter_config.json: "brand_new" is not a setting that is known here: ignored',
      `${dir}: the adapter changes nothing: one factor of every update is zero`,
    ]);
    await scatterParameters(device, adapter.parameters);
    await saveAdapter(device, adapter, dir);
    const other = '{"peft_type": "LORA", "target_modules": ["fc1", "lm_head"]}';
    await writeFile(join(dir, "adapter_config.json"), other);
    const { warnings } = await loadAdapter(device, rig.model, dir);
    assert.deepEqual(warnings, ['adapter_config.json: target_modules has "lm_head", which matches no layer: ignored']);
  });

  it("has patterns in PEFT's order, where that means the same", async () => {
    const device = interpDevice();
    const { model } = mlpRig();
    const dir = join(folder, "order");
    const written = async (rankPattern: Readonly<Record<string, number>>) => {
      const adapter = attach(model, lora, { config: { r: 4, alpha: 10, rankPattern } });
      await scatterParameters(device, adapter.parameters);
      await saveAdapter(device, adapter, dir);
      const { adapter: again, warnings } = await loadAdapter(device, model, dir, { name: "again" });
      assert.deepEqual(warnings, []);
      const ranks = again.targets.map(({ config }) => (config as LoraConfig).r);
      return [ranks, Object.keys((await configOf(dir)).rank_pattern as object)];
    };
    assert.deepEqual(await written({ fc3: 3, fc1: 2 }), [
      [2, 4, 3],
      ["fc1", "fc3"],
    ]);
    assert.deepEqual(await written({ fc3: 3, "fc.": 2 }), [
      [2, 2, 3],
      ["fc3", "fc."],
    ]);
  });

  it("says what it is for: task_type, or the class that was adapted", async () => {
    const device = interpDevice();
    const adapter = attach(mlpRig().model, lora);
    await initializeParameters(device, adapter.parameters, 0);
    const dir = join(folder, "provenance");
    const autoMapping = { baseModelClass: "Mlp", parentLibrary: "models" };
    await saveAdapter(device, adapter, dir, { autoMapping, revision: "v1" });
    const { auto_mapping, revision, task_type } = await configOf(dir);
    assert.deepEqual(
      [auto_mapping, revision, task_type],
      [{ base_model_class: "Mlp", parent_library: "models" }, "v1", null],
    );
    await saveAdapter(device, adapter, dir, { autoMapping, taskType: "CAUSAL_LM" });
    const other = await configOf(dir);
    assert.deepEqual([other.auto_mapping, other.task_type], [null, "CAUSAL_LM"]);
  });
});

describe("names of tensors", () => {
  it("may lack the prefix, or have PEFT's name of the adapter in them", async () => {
    const device = interpDevice();
    const { model } = mlpRig();
    const file = await openSafetensors(join(golden("mlp"), "adapter_model.safetensors"));
    const respell = async (dir: string, spell: (key: string) => string) => {
      await mkdir(dir);
      await cp(join(golden("mlp"), "adapter_config.json"), join(dir, "adapter_config.json"));
      const tensors = [...file.tensors].map(([key, { shape }]): TensorToWrite => {
        return { name: spell(key), dtype: "F32", shape, data: () => file.readFloat32(key) };
      });
      await writeSafetensors(join(dir, "adapter_model.safetensors"), tensors);
      return loadAdapter(device, model, dir, { name: "respelt" });
    };
    const { adapter } = await loadAdapter(device, model, golden("mlp"));
    const expected = await Promise.all(adapter.parameters.map(({ name }) => device.read(name)));
    for (const [i, spell] of [
      (key: string) => key.replace("base_model.model.", ""),
      (key: string) => key.replace(/(lora_[AB])/, "$1.default"),
    ].entries()) {
      const loaded = await respell(join(folder, `spelling-${i}`), spell);
      assert.deepEqual(loaded.warnings, []);
      const found = await Promise.all(loaded.adapter.parameters.map(({ name }) => device.read(name)));
      assert.deepEqual(found, expected);
    }
    await file.close();
  });
});

describe("saving", () => {
  it("leaves the adapter that was there, and no other file, when it fails", async () => {
    const device = interpDevice();
    const rig = mlpRig();
    const adapter = attach(rig.model, lora, { config: { r: 2, alpha: 3 } });
    await scatterParameters(device, adapter.parameters);
    const dir = join(folder, "kept");
    await saveAdapter(device, adapter, dir);
    const before = await tensorsOf(dir);
    const other = attach(rig.model, lora, { config: { r: 4, alpha: 3 } });
    await scatterParameters(device, other.parameters);
    await device.free(other.parameters.at(-1)!.name);
    await assert.rejects(saveAdapter(device, other, dir), /there is no such state/);
    assert.deepEqual(await tensorsOf(dir), before);
    assert.deepEqual((await readdir(dir)).sort(), ["adapter_config.json", "adapter_model.safetensors"]);
    await assert.rejects(saveAdapter(device, adapter, join(dir, "adapter_config.json", "below")), FormatError);
  });

  it("writes a method that PEFT does not have under its own name", async () => {
    const method: Method<LoraConfig> = { ...lora, name: "no-such-method", file: { type: "NO_SUCH_METHOD" } };
    const device = interpDevice();
    const adapter = attach(mlpRig().model, method, {});
    await initializeParameters(device, adapter.parameters, 1);
    const dir = join(folder, "no-such-method");
    await saveAdapter(device, adapter, dir);
    const written = JSON.parse(await readFile(join(dir, "adapter_config.json"), "utf8")) as { peft_type: string };
    assert.equal(written.peft_type, "NO_SUCH_METHOD");
    await assert.rejects(loadAdapter(device, mlpRig().model, dir), /no such peft_type here/);
  });
});
