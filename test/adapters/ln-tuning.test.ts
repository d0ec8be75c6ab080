/** Tuning of norms: the contract of methods, and PEFT's files and numbers. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { attach } from "../../src/adapters/adapter.ts";
import { lnTuning, type LnTuningConfig } from "../../src/adapters/ln-tuning.ts";
import { describeMethod, type MethodFacts } from "../../src/testing/describe-method.ts";
import { describePeftCase } from "../../src/testing/describe-peft-case.ts";
import { mlpRig } from "../../src/testing/method-rig.ts";

/** The test models have no norms: the contract is kept with modules of any kind. */
const facts: MethodFacts<LnTuningConfig> = {
  elements: (layer) => {
    if (layer.kind === "embedding") return layer.inFeatures * layer.outFeatures;
    const cells = layer.kind === "conv2d" ? layer.kernel[0] * layer.kernel[1] : 1;
    return layer.outFeatures * (layer.inFeatures * cells + 1);
  },
  notInFile: [],
  golden: [],
};

describeMethod(lnTuning, [{ name: "copies of modules", config: {} }], facts);

describePeftCase(lnTuning, {
  folder: "ln-tuning",
  attach: { config: {}, targetModules: ["input_layernorm", "post_attention_layernorm", "norm"] },
});
describePeftCase(lnTuning, { folder: "ln-tuning-gpt2", attach: { config: {} } });

it("leaves out what is excluded, and refuses what means nothing", () => {
  const { model } = mlpRig();
  const on = (options: object) => attach(model, lnTuning, { targetModules: ["fc1", "fc2"], ...options });
  assert.deepEqual([...on({ excludeModules: ["fc2"] }).copies.keys()], ["fc1.weight", "fc1.bias"]);
  assert.throws(() => on({ targetModules: ["norm"] }), /target_modules: "norm": no module of the model/);
  assert.throws(() => on({ layersToTransform: 1 }), /layers_to_transform: ln-tuning is not put on layers/);
  assert.throws(() => attach(model, lnTuning), /target_modules: nothing says which modules of this model are norms/);
});
