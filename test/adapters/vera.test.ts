/** VeRA: the contract of methods, PEFT's files and numbers, and PyTorch's random numbers. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { it } from "node:test";
import { attach } from "../../src/adapters/adapter.ts";
import { initializeAdapter } from "../../src/adapters/initialize.ts";
import { MersenneTwister } from "../../src/adapters/mersenne-twister.ts";
import { vera, type VeraConfig } from "../../src/adapters/vera.ts";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import { interpDevice } from "../../src/runtime/interp.ts";
import { describeMethod, type MethodFacts } from "../../src/testing/describe-method.ts";
import { describePeftCase } from "../../src/testing/describe-peft-case.ts";
import { mlpRig, scatterParameters, tokenRig } from "../../src/testing/method-rig.ts";

const facts: MethodFacts<VeraConfig> = {
  elements: ({ outFeatures }, { r }) => outFeatures + r,
  notInFile: [],
  golden: [],
  models: ["mlp"],
  leaves: 0.5,
};

describeMethod(
  vera,
  [
    { name: "saved matrices", config: { r: 6, dInitial: 0.7, projectionPrngKey: 5 } },
    { name: "matrices drawn again", config: { r: 4, dInitial: 0.9, projectionPrngKey: 9, saveProjection: false } },
    { name: "dropout", config: { r: 5, dInitial: 0.8, dropout: 0.25 } },
    { name: "more columns than a layer has rows", config: { r: 17, dInitial: 0.4 } },
  ],
  facts,
);

const several = ["down_proj", "o_proj", "q_proj", "up_proj", "v_proj"];
const config = { r: 6, dInitial: 0.3 };
describePeftCase(vera, {
  folder: "vera",
  attach: { config: { ...config, projectionPrngKey: 7 }, targetModules: several },
});
describePeftCase(vera, {
  folder: "vera-key",
  attach: { config: { r: 5, dInitial: 0.3, projectionPrngKey: 11, saveProjection: false }, targetModules: several },
});
describePeftCase(vera, { folder: "vera-gpt2", attach: { config, targetModules: ["c_attn", "c_fc"] } });

it("draws the matrices that PEFT draws from the key, bit for bit", async () => {
  const file = await openSafetensors(
    new URL("../../../golden/peft-methods/vera-key/expected.safetensors", import.meta.url).pathname,
  );
  // The largest input and output of that model's targets are both 28: of two layers.
  const started = await vera.startShared!({
    config: { ...config, r: 5, projectionPrngKey: 11, saveProjection: false, dropout: 0, init: true },
    layers: [mlpRig().model.layers[0]!, mlpRig().model.layers[1]!].map((layer, i) => ({
      ...layer,
      ...(i === 0 ? { inFeatures: 28 } : { outFeatures: 28 }),
    })),
    model: mlpRig().model,
    base: () => Promise.reject(new Error("not asked for")),
    random: () => {
      throw new Error("not asked for");
    },
  });
  for (const name of ["vera_A", "vera_B"]) {
    assert.deepEqual(started[name], await file.readFloat32(`projection.${name}`), name);
  }
  await file.close();
});

it("draws PyTorch's uniform numbers, bit for bit", () => {
  interface Case {
    readonly seed: number;
    readonly length: number;
    readonly from: number;
    readonly to: number;
    readonly kept: readonly number[];
    readonly values: readonly number[];
    readonly next: readonly number[];
  }
  const file = new URL("../../../golden/torch-random.json", import.meta.url);
  const { cases } = JSON.parse(readFileSync(file, "utf8")) as { readonly cases: readonly Case[] };
  for (const { seed, length, from, to, kept, values, next } of cases) {
    const generator = new MersenneTwister(seed);
    const drawn = generator.uniform(length, from, to);
    assert.deepEqual(
      kept.map((i) => drawn[i]),
      values,
    );
    assert.deepEqual([...generator.uniform(3, to, to + 1)], next);
  }
});

it("starts where it says", async () => {
  const device = interpDevice();
  const { model } = mlpRig();
  await scatterParameters(device, model.parameters);
  const adapter = attach(model, vera, { config });
  await initializeAdapter(device, adapter, 1);
  assert.deepEqual(
    [...((await device.read("fc2.vera_lambda_d.default")).data as Float32Array)],
    Array(6).fill(Math.fround(0.3)),
  );
  assert.deepEqual([...((await device.read("fc2.vera_lambda_b.default")).data as Float32Array)], Array(6).fill(0));
  assert.deepEqual(adapter.parameters.length, 6, "the matrices are not trained");
});

it("refuses what is not linear, by name", () => {
  assert.throws(
    () => attach(tokenRig().model, vera, { targetModules: ["embed"] }),
    /embed: VeRA is for linear layers only, as in PEFT, and this is an embedding/,
  );
});
