/** Every family against transformers: golden/causal-lm/ and golden/text-heads/. */
import { fileURLToPath } from "node:url";
import { MODELS, type ModelType } from "../../src/models/index.ts";
import { describeModel } from "../../src/testing/describe-model.ts";

const FOLDERS: Readonly<Record<ModelType, readonly string[]>> = {
  qwen2: ["causal-lm/qwen2-tied", "causal-lm/qwen2-window", "text-heads/qwen2-classes"],
  qwen3: ["causal-lm/qwen3", "text-heads/qwen3-classes"],
  llama: ["causal-lm/llama-llama3-rope", "causal-lm/llama-biases", "text-heads/llama-classes"],
  mistral: ["causal-lm/mistral-window", "text-heads/mistral-classes"],
  gpt2: ["causal-lm/gpt2", "text-heads/gpt2-classes"],
  bert: ["text-heads/bert-masked", "text-heads/bert-masked-untied", "text-heads/bert-classes"],
  roberta: ["text-heads/roberta-masked", "text-heads/roberta-classes"],
  "xlm-roberta": ["text-heads/xlm-roberta-masked"],
};

for (const family of Object.values(MODELS)) {
  const type = family.modelType as ModelType;
  const folders = FOLDERS[type].map((name) => new URL(`../../../golden/${name}`, import.meta.url));
  describeModel(
    family,
    folders.map((url) => fileURLToPath(url)),
  );
}
