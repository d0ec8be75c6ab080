/** LoRA-FA keeps the contract of tuning methods. Against PEFT's optimizer: lora-family-golden.test.ts. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { loraFa } from "../../src/adapters/lora-fa.ts";
import type { LoraConfig } from "../../src/adapters/lora.ts";
import { ConfigError } from "../../src/errors.ts";
import { embedding } from "../../src/nn/embedding.ts";
import { configure } from "../../src/adapters/settings.ts";
import { describeMethod, type MethodCase } from "../../src/testing/describe-method.ts";

const base = { r: 4, alpha: 10 } as const;

const cases: readonly MethodCase<LoraConfig>[] = [
  { name: "default", config: base },
  { name: "rsLoRA, dropout", config: { r: 3, alpha: 5, useRslora: true, dropout: 0.25 } },
  { name: "OLoRA", config: { ...base, init: "olora" }, models: ["mlp"], converts: true },
];

describeMethod(loraFa, cases, {
  // A is not trained.
  elements: (layer, { r }) => layer.outFeatures * r,
  models: ["mlp", "conv"],
  notInFile: ["form", "init"],
  golden: [],
});

it("refuses embeddings by name", () => {
  const { layer } = embedding("embed", 13, 5, 1);
  assert.throws(
    () => loraFa.parameters!(layer, configure(loraFa, base)),
    (error) => error instanceof ConfigError && error.problem.where === "embed" && /train nothing/.test(error.message),
  );
});
