/** The language models: one line each. */
import { ConfigError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import type { ModelFamily } from "./text-model.ts";
import { bert } from "./bert.ts";
import { gpt2 } from "./gpt2.ts";
import { llama } from "./llama.ts";
import { mistral } from "./mistral.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";
import { roberta, xlmRoberta } from "./roberta.ts";

/** Families by the `model_type` of their configurations. */
export const MODELS = {
  qwen2,
  qwen3,
  llama,
  mistral,
  gpt2,
  bert,
  roberta,
  "xlm-roberta": xlmRoberta,
} as const satisfies Readonly<Record<string, ModelFamily>>;

export type ModelType = keyof typeof MODELS;

/**
 * @param modelType as in `config.json`
 * @throws ConfigError naming the families that there are
 */
export function familyOf(modelType: string): ModelFamily {
  const types = Object.keys(MODELS);
  if (isModelType(modelType)) return MODELS[modelType];
  throw new ConfigError({
    where: "model_type",
    what: "not an architecture that can be read",
    got: modelType,
    expected: `one of ${types.join(", ")}`,
    hint: `if config.json misspells it, the nearest name is "${nearest(modelType, types)}"`,
  });
}

function isModelType(name: string): name is ModelType {
  return Object.hasOwn(MODELS, name);
}
