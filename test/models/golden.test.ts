/** Every family against transformers: golden/causal-lm/. */
import { fileURLToPath } from "node:url";
import { MODELS, type ModelType } from "../../src/models/index.ts";
import { describeModel } from "../../src/testing/describe-model.ts";

const FOLDERS: Readonly<Record<ModelType, readonly string[]>> = {
  qwen2: ["qwen2-tied", "qwen2-window"],
  qwen3: ["qwen3"],
  llama: ["llama-llama3-rope", "llama-biases"],
  mistral: ["mistral-window"],
  gpt2: ["gpt2"],
};

for (const family of Object.values(MODELS)) {
  const type = family.modelType as ModelType;
  const folders = FOLDERS[type].map((name) => new URL(`../../../golden/causal-lm/${name}`, import.meta.url));
  describeModel(
    family,
    folders.map((url) => fileURLToPath(url)),
  );
}
