/** DoRA keeps the contract of tuning methods. Against PEFT: lora-family-golden.test.ts. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { dora } from "../../src/adapters/dora.ts";
import { loraElements, type LoraConfig } from "../../src/adapters/lora.ts";
import { configure } from "../../src/adapters/settings.ts";
import { describeMethod, type MethodCase } from "../../src/testing/describe-method.ts";

const base = { r: 4, alpha: 10 } as const;

const cases: readonly MethodCase<LoraConfig>[] = [
  { name: "default", config: base },
  { name: "rsLoRA, dropout", config: { r: 3, alpha: 5, useRslora: true, dropout: 0.25 } },
  { name: "gaussian start, a rank of its own", config: { ...base, init: "gaussian", rankPattern: { ".*1|embed|[ab]": 2 } } },
  { name: "nothing zero", config: { ...base, init: "random" }, startsElsewhere: "B A is not zero" },
  { name: "PiSSA", config: { ...base, init: "pissa" }, models: ["mlp"], converts: true },
];

describeMethod(dora, cases, {
  elements: (layer, { r }) =>
    layer.outFeatures +
    (layer.kind === "conv2d"
      ? r * layer.inFeatures * layer.kernel[0] * layer.kernel[1] + layer.outFeatures * r
      : loraElements([layer], r)),
  notInFile: ["form", "init"],
  notDerivatives: "the norm counts as a constant",
  golden: [],
});

describe("settings of DoRA", () => {
  it("refuses what it does not have", () => {
    const refused = (config: Partial<LoraConfig>, message: RegExp) =>
      assert.throws(() => configure(dora, config), message);
    refused({ form: "weight" }, /form is "weight": DoRA has the activation form only/);
    refused({ loraBias: true }, /PEFT has no bias of B with DoRA/);
    refused({ dropout: 0.1, init: "pissa" }, /dropout is 0.1 with the start pissa/);
  });
});
