/** BitFit: the contract of methods, and which biases it trains. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { attach } from "../../src/adapters/adapter.ts";
import { bitfit, type BitfitConfig } from "../../src/adapters/bitfit.ts";
import { readModelConfig } from "../../src/formats/model/config.ts";
import { familyOf } from "../../src/models/index.ts";
import { describeMethod, type MethodFacts } from "../../src/testing/describe-method.ts";
import { mlpRig } from "../../src/testing/method-rig.ts";

const facts: MethodFacts<BitfitConfig> = {
  elements: ({ kind, outFeatures }) => (kind === "embedding" ? 0 : outFeatures),
  notInFile: [],
  golden: [],
  // Biases alone cannot learn labels by heart.
  leaves: 0.95,
};

describeMethod(bitfit, [{ name: "all biases", config: {} }], facts);

const built = async (name: string) => {
  const source = await readModelConfig(fileURLToPath(new URL(`../../../golden/causal-lm/${name}`, import.meta.url)));
  return familyOf(source.modelType).build(source);
};

it("trains every bias of a model", async () => {
  const model = await built("gpt2");
  const { copies, parameters } = attach(model, bitfit);
  assert.deepEqual(
    [...copies.keys()],
    model.parameters.flatMap(({ name }) => (name.endsWith(".bias") ? [name] : [])),
  );
  assert.ok(copies.has("transformer.ln_f.bias") && copies.has("transformer.h.0.attn.c_attn.bias"));
  assert.equal(parameters.length, copies.size);
  const some = attach(model, bitfit, { config: { biasModules: ["c_fc", "transformer.ln_f"] } });
  assert.deepEqual(
    [...some.copies.keys()],
    ["transformer.h.0.mlp.c_fc.bias", "transformer.h.1.mlp.c_fc.bias", "transformer.ln_f.bias"],
  );
});

it("says so where there are none, and what there is where a name is wrong", async () => {
  const llama = await built("llama-llama3-rope");
  assert.throws(() => attach(llama, bitfit), /bitfit: llama has no biases to train/);
  const of = (biasModules: readonly string[]) => () => attach(mlpRig().model, bitfit, { config: { biasModules } });
  assert.throws(of(["fc9"]), /bias_modules: "fc9": no module that has a bias is called that[^]*"fc1", "fc2", "fc3"/);
  assert.throws(of([]), /bias_modules: names no module/);
});
