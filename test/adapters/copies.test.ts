/** Copies of the base's parameters: which there are, and what they are called. PEFT's files: formats/peft-language.test.ts. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type AttachOptions, attach, resolveParameter } from "../../src/adapters/adapter.ts";
import type { AdaptableModel } from "../../src/adapters/copies.ts";
import { freeAdapter, initializeAdapter } from "../../src/adapters/initialize.ts";
import { lora, type LoraConfig } from "../../src/adapters/lora.ts";
import { merge, mergedWeights, unmerge } from "../../src/adapters/merge.ts";
import { addWeightedAdapter } from "../../src/adapters/weighted.ts";
import { ConfigError, NumericError } from "../../src/errors.ts";
import { embedding } from "../../src/nn/embedding.ts";
import { linear } from "../../src/nn/linear.ts";
import { rmsNorm } from "../../src/nn/norm.ts";
import { interpDevice } from "../../src/runtime/interp.ts";
import { readAll, scatterParameters } from "../../src/testing/method-rig.ts";

const embed = embedding("model.embed", 13, 5);
const blocks = [0, 1].map((i) => ({
  norm: rmsNorm(`model.layers.${i}.norm`, 5, 1e-6),
  up: linear(`model.layers.${i}.up`, 5, 7),
  down: linear(`model.layers.${i}.down`, 7, 5, { bias: false }),
}));
const head = linear("head", 5, 13, { bias: false, isOutput: true });
const model: AdaptableModel = {
  parameters: [
    ...embed.parameters,
    ...blocks.flatMap(({ norm, up, down }) => [...norm.parameters, ...up.parameters, ...down.parameters]),
  ],
  layers: [embed.layer, ...blocks.flatMap(({ up, down }) => [up.layer, down.layer]), head.layer],
  tied: { "head.weight": "model.embed.weight" },
};

const put = (options: AttachOptions<LoraConfig>) =>
  attach(model, lora, { targetModules: ["up", "down"], config: { r: 2, alpha: 3 }, ...options });
const copied = (options: AttachOptions<LoraConfig>) =>
  Object.fromEntries([...put(options).copies].map(([name, copy]) => [name, copy.name]));

describe("copies", () => {
  it("of modules: named as in PEFT's memory", () => {
    assert.deepEqual(copied({ modulesToSave: ["head"] }), { "head.weight": "head.modules_to_save.default.weight" });
    assert.deepEqual(copied({ modulesToSave: ["embed"], name: "mine" }), {
      "model.embed.weight": "model.embed.modules_to_save.mine.weight",
    });
    assert.deepEqual(copied({ modulesToSave: ["layers.1", "up"] }), {
      "model.layers.0.up.weight": "model.layers.0.up.modules_to_save.default.weight",
      "model.layers.0.up.bias": "model.layers.0.up.modules_to_save.default.bias",
      "model.layers.1.norm.weight": "model.layers.1.modules_to_save.default.norm.weight",
      "model.layers.1.up.weight": "model.layers.1.modules_to_save.default.up.weight",
      "model.layers.1.up.bias": "model.layers.1.modules_to_save.default.up.bias",
      "model.layers.1.down.weight": "model.layers.1.modules_to_save.default.down.weight",
    });
    // No dot is needed before the ending.
    assert.equal(Object.keys(copied({ modulesToSave: ["orm"] })).length, 2);
  });

  it("of biases: all, or those of the targets, each once", () => {
    const both = ["model.layers.0.up.bias", "model.layers.1.up.bias"];
    assert.deepEqual(Object.keys(copied({ bias: "all" })), both);
    assert.deepEqual(Object.keys(copied({ bias: "lora_only", targetModules: ["layers.1.up"] })), both.slice(1));
    assert.deepEqual(copied({ bias: "lora_only", targetModules: ["down"] }), {});
    assert.deepEqual(
      copied({ bias: "all", modulesToSave: ["layers.0.up"] })[both[0]!],
      "model.layers.0.up.modules_to_save.default.bias",
    );
  });

  it("are never targets", () => {
    const names = put({ modulesToSave: ["layers.0"], targetModules: "all-linear" }).targets.map(
      ({ layer }) => layer.name,
    );
    assert.deepEqual(names, ["model.layers.1.up", "model.layers.1.down"]);
    assert.throws(() => put({ modulesToSave: ["layers"], targetModules: ["up"] }), /there is no layer to adapt/);
  });

  it("are trained, and stay tied if that is asked for", () => {
    const { copies, parameters } = put({ modulesToSave: ["head"], ensureWeightTying: true });
    assert.deepEqual([...copies.keys()], ["head.weight", "model.embed.weight"]);
    const names = parameters.map(({ name }) => name).filter((name) => name.includes("modules_to_save"));
    assert.deepEqual(names, ["model.embed.modules_to_save.default.weight"]);
    assert.throws(
      () => put({ targetModules: ["head"], ensureWeightTying: true }),
      /ensure_weight_tying: not supported for targets/,
    );
  });

  it("start as the base, and go when the adapter goes", async () => {
    const device = interpDevice();
    await scatterParameters(device, model.parameters);
    const adapter = put({ modulesToSave: ["head", "norm"], bias: "all" });
    await initializeAdapter(device, adapter, 4);
    for (const copy of adapter.copies.values()) {
      assert.deepEqual((await device.read(copy.name)).data, (await device.read(copy.from)).data);
    }
    const stateOf = resolveParameter([adapter], model.tied);
    assert.equal(stateOf("head.weight"), "head.modules_to_save.default.weight");
    assert.equal(stateOf("model.embed.weight"), "model.embed.weight");
    assert.equal(resolveParameter([], model.tied)("head.weight"), "model.embed.weight");
    assert.equal(stateOf("toString"), "toString");
    await freeAdapter(device, adapter);
    for (const { name } of adapter.parameters) await assert.rejects(device.read(name), /no such state/);
    await device.read("model.embed.weight");
  });

  it("of what is not there are refused, with the nearest name", () => {
    assert.throws(
      () => put({ modulesToSave: ["lm_head", "layers.7"] }),
      (error) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, /modules_to_save: "lm_head"; "layers.7": no module of the model/);
        assert.match(error.message, /the closest name to "lm_head" is "head"/);
        return true;
      },
    );
    assert.throws(() => put({ modulesToSave: [""] }), ConfigError);
    assert.throws(() => put({ bias: "some" as "all" }), /bias: no such setting: got some/);
    assert.throws(
      () => put({ config: { rankPattern: { q_proj: 2 } } }),
      /rank_pattern: "q_proj": no target's name ends like that/,
    );
  });
});

describe("merging", () => {
  it("makes the merged weights one by one, and leaves the base as it is", async () => {
    const device = interpDevice();
    await scatterParameters(device, model.parameters);
    const adapter = put({ targetModules: ["layers.0.up"], modulesToSave: ["layers.1.norm"] });
    await scatterParameters(device, adapter.parameters, { seed: 9 });
    const before = await readAll(device, model.parameters);
    const weights = mergedWeights(device, adapter);
    assert.deepEqual([...weights.changed], ["model.layers.0.up.weight", "model.layers.1.norm.weight"]);
    assert.deepEqual(
      weights.parameters.map(({ name }) => name),
      model.parameters.map(({ name }) => name),
    );
    assert.deepEqual(weights.tied, model.tied);
    const copy = await device.read("model.layers.1.norm.modules_to_save.default.weight");
    assert.deepEqual((await weights.read("model.layers.1.norm.weight")).data, copy.data);
    assert.deepEqual(await weights.read("model.embed.weight"), before.get("model.embed.weight"));
    assert.notDeepEqual(await weights.read("model.layers.0.up.weight"), before.get("model.layers.0.up.weight"));
    assert.deepEqual(await readAll(device, model.parameters), before);
  });

  it("a weight that would not be finite leaves everything as it was", async () => {
    const device = interpDevice();
    await scatterParameters(device, model.parameters);
    const adapter = put({ targetModules: ["up", "down", "head"] });
    await scatterParameters(device, adapter.parameters, { seed: 9 });
    const last = adapter.parameters.find(({ name }) => name.startsWith("model.layers.1.down.lora_B"))!;
    await device.write(last.name, { dtype: "float32", shape: last.shape, data: new Float32Array(5 * 2).fill(NaN) });
    const before = await readAll(device, model.parameters);
    await assert.rejects(merge(device, adapter), (error) => {
      assert.ok(error instanceof NumericError);
      assert.match(error.message, /model\.layers\.1\.down\.weight would not be finite/);
      return true;
    });
    assert.deepEqual(await readAll(device, model.parameters), before);
    await assert.rejects(device.read("head.weight"), /no such state/);
  });

  it("unties a head that only one adapter changes, and ties it again", async () => {
    const device = interpDevice();
    await scatterParameters(device, model.parameters);
    for (const target of ["head", "embed"]) {
      const adapter = put({ targetModules: [target] });
      await scatterParameters(device, adapter.parameters, { seed: 9 });
      const table = await device.read("model.embed.weight");
      const merged = await merge(device, adapter);
      assert.deepEqual(merged.tied, {});
      assert.equal(merged.parameters.at(-1)!.name, "head.weight");
      const [own, other] =
        target === "head" ? ["head.weight", "model.embed.weight"] : ["model.embed.weight", "head.weight"];
      assert.deepEqual(await device.read(other), table);
      assert.notDeepEqual(await device.read(own), table);
      await unmerge(device, merged);
      assert.deepEqual(await device.read("model.embed.weight"), table);
      await assert.rejects(device.read("head.weight"), /no such state/);
    }
  });
});

describe("mixing", () => {
  it("says what it cannot mix", async () => {
    const device = interpDevice();
    await scatterParameters(device, model.parameters);
    const one = put({ name: "one", targetModules: ["head", "up"] });
    const two = put({ name: "two", modulesToSave: ["head"] });
    await scatterParameters(device, [...one.parameters, ...two.parameters]);
    const mix = (adapters: (typeof one)[], weights: number[], options = {}) =>
      addWeightedAdapter(device, adapters, weights, { name: "mix", ...options });
    await assert.rejects(mix([one, two], [1, 1]), /one adapter has an update of "head" and another a copy/);
    await assert.rejects(mix([], []), /there are no adapters to mix/);
    await assert.rejects(mix([one], [1, 2]), /each adapter needs a weight: got 1; 2, expected 1 finite numbers/);
    await assert.rejects(mix([one], [NaN]), /each adapter needs a weight/);
    await assert.rejects(mix([one], [1], { combinationType: "ties" }), /no such combination: got ties/);
    await assert.rejects(mix([one], [1], { svdRank: 0 }), /svd_rank is no rank/);
    await assert.rejects(mix([{ ...one, method: { ...lora, name: "other" } }], [1]), /only LoRA adapters can be mixed/);
  });

  it("drops columns that cancel out", async () => {
    const device = interpDevice();
    await scatterParameters(device, model.parameters);
    const one = put({ name: "one", targetModules: ["up"] });
    await scatterParameters(device, one.parameters);
    const mixed = await addWeightedAdapter(device, [one, one], [1, 2], { name: "sum", combinationType: "linear" });
    assert.equal(mixed.config.r, 2);
    const nothing = await addWeightedAdapter(device, [one, one], [1, -1], { name: "zero", combinationType: "linear" });
    assert.equal(nothing.config.r, 1);
    for (const { name } of nothing.parameters.filter((spec) => spec.name.includes("lora_B"))) {
      assert.ok((await device.read(name)).data.every((value) => value === 0));
    }
  });
});
