/** (IA)³: the contract of methods, and PEFT's files and numbers. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { attach } from "../../src/adapters/adapter.ts";
import { ia3, type Ia3Config } from "../../src/adapters/ia3.ts";
import { describeMethod, type MethodFacts } from "../../src/testing/describe-method.ts";
import { describePeftCase } from "../../src/testing/describe-peft-case.ts";
import { mlpRig, tokenRig } from "../../src/testing/method-rig.ts";
import { itComputesOnConvolutions } from "./conv-case.ts";

const facts: MethodFacts<Ia3Config> = {
  elements: ({ name, inFeatures, outFeatures }, { feedforwardModules }) =>
    typeof feedforwardModules === "string" && new RegExp(`^${feedforwardModules}$`).test(name)
      ? inFeatures
      : outFeatures,
  notInFile: [],
  golden: [],
  models: ["mlp", "conv"],
  // Vectors alone cannot learn labels by heart.
  leaves: 0.9,
};

describeMethod(
  ia3,
  [
    { name: "outputs", config: { feedforwardModules: [] } },
    { name: "a feed-forward layer", config: { feedforwardModules: "fc3" }, models: ["mlp"] },
    { name: "a convolution's inputs", config: { feedforwardModules: "c.*1" }, models: ["conv"] },
    { name: "a linear layer's inputs", config: { feedforwardModules: "fc" }, models: ["conv"] },
  ],
  facts,
);

const several = ["k_proj", "v_proj", "o_proj", "up_proj", "down_proj"];
describePeftCase(ia3, { folder: "ia3", attach: { config: {} } });
describePeftCase(ia3, {
  folder: "ia3-targets",
  attach: { config: { feedforwardModules: ["down_proj", "o_proj"] }, targetModules: several },
});
describePeftCase(ia3, { folder: "ia3-gpt2", attach: { config: {} } });

itComputesOnConvolutions("ia3");
itComputesOnConvolutions("ia3-inputs");

it("refuses embeddings, and models of which nothing is known, by name", () => {
  const on = (targetModules: readonly string[], config: Partial<Ia3Config>) => () =>
    attach(tokenRig().model, ia3, { targetModules, config });
  assert.throws(on(["embed"], { feedforwardModules: [] }), /embed: \(IA\)³ is not defined on an embedding/);
  assert.throws(on(["fc1"], {}), /feedforward_modules: nothing says which layers/);
  assert.throws(on(["fc1"], { feedforwardModules: ["fc2"] }), /"fc2": no target's name ends like that/);
  assert.throws(
    () => attach(mlpRig().model, ia3, { config: { feedforwardModules: [] } }),
    /target_modules: nothing says/,
  );
});
