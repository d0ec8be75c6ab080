/** LoRA's configurations for the contract of tuning methods. */
import { loraElements, type LoraConfig } from "../../src/adapters/lora.ts";
import type { MethodCase, MethodFacts } from "../../src/testing/describe-method.ts";

const base = { r: 4, alpha: 10 } as const;

export const loraCases: readonly MethodCase<LoraConfig>[] = [
  { name: "Kaiming-uniform start", config: base },
  { name: "gaussian start", config: { ...base, init: "gaussian" } },
  { name: "standard normal start", config: { r: 2, alpha: 5, init: "standard-normal" } },
  { name: "rank 1", config: { r: 1, alpha: 3 } },
  { name: "rsLoRA", config: { r: 3, alpha: 5, useRslora: true } },
  { name: "dropout", config: { ...base, dropout: 0.25 } },
  { name: "weight form", config: { ...base, form: "weight" } },
  { name: "weight form, rsLoRA", config: { r: 3, alpha: 5, useRslora: true, form: "weight" } },
  { name: "form by cost", config: { ...base, form: "auto" } },
  { name: "bias of B", config: { ...base, loraBias: true }, models: ["mlp", "conv"] },
  { name: "bias of B, weight form", config: { ...base, loraBias: true, form: "weight" }, models: ["mlp", "conv"] },
  {
    name: "ranks and scales of its own on a layer",
    config: { ...base, useRslora: true, rankPattern: { ".*1|embed|[ab]": 2 }, alphaPattern: { "fc.?|[ab]": 7 } },
  },
  {
    name: "orthogonal start",
    config: { ...base, init: "orthogonal" },
    models: ["mlp"],
    startsElsewhere: "B A is zero but for rounding",
  },
  { name: "PiSSA", config: { ...base, init: "pissa" }, models: ["mlp", "tokens"], converts: true },
  {
    name: "PiSSA in steps, dropout, rsLoRA",
    config: { r: 3, alpha: 5, useRslora: true, dropout: 0.25, init: "pissa_niter_2" },
    models: ["mlp"],
    converts: true,
  },
  {
    name: "PiSSA, weight form, a rank of its own",
    config: { ...base, init: "pissa", form: "weight", rankPattern: { "fc2|[ab]": 2 }, alphaPattern: { "fc1|[ab]": 7 } },
    models: ["mlp"],
    converts: true,
  },
  { name: "OLoRA", config: { ...base, init: "olora" }, models: ["mlp", "tokens"], converts: true },
  {
    name: "LoftQ",
    config: { ...base, init: "loftq", loftqConfig: { bits: 4, iterations: 2 } },
    models: ["mlp", "tokens"],
    startsElsewhere: "the frozen weight is a quantised one, and A and B make up for a part of that",
  },
  { name: "LoRA+", config: { ...base, loraplusLrRatio: 16 }, models: ["tokens"] },
  { name: "form by cost, dropout", config: { ...base, form: "auto", dropout: 0.25 } },
];

export const loraFacts: MethodFacts<LoraConfig> = {
  elements: (layer, { r, loraBias }) =>
    (layer.kind === "conv2d"
      ? r * layer.inFeatures * layer.kernel[0] * layer.kernel[1] + layer.outFeatures * r
      : loraElements([layer], r)) + (loraBias ? layer.outFeatures : 0),
  notInFile: ["form", "init", "loraplusLrRatio"],
  golden: [
    { folder: "mlp", model: "mlp" },
    { folder: "mlp-rslora", model: "mlp" },
    { folder: "mlp-bfloat16", model: "mlp" },
    { folder: "conv", model: "conv" },
  ],
};
