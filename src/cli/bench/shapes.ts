/** Shapes of known models, as in their `config.json`: what a benchmark needs of a model besides random weights. */
import { ConfigError } from "../../errors.ts";
import { ModelConfigFile } from "../../formats/model/config.ts";
import type { TextModel } from "../../models/text-model.ts";
import { familyOf } from "../../models/index.ts";
import { nearest } from "../../nearest.ts";

const qwen25 = { model_type: "qwen2", vocab_size: 151_936, rope_theta: 1e6, tie_word_embeddings: true };
const smollm2 = { model_type: "llama", vocab_size: 49_152, rope_theta: 1e5, tie_word_embeddings: true };
const llama32 = {
  model_type: "llama",
  vocab_size: 128_256,
  tie_word_embeddings: true,
  max_position_embeddings: 131_072,
  rope_theta: 5e5,
  rope_scaling: {
    rope_type: "llama3",
    factor: 32,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  },
};

/** [hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads] */
type Sizes = readonly [hidden: number, intermediate: number, layers: number, heads: number, kvHeads: number];

function sized<T extends object>(common: T, [hidden, intermediate, layers, heads, kvHeads]: Sizes) {
  return {
    ...common,
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
  };
}

const SHAPES = {
  "qwen2.5-0.5b": sized(qwen25, [896, 4864, 24, 14, 2]),
  "qwen2.5-1.5b": sized(qwen25, [1536, 8960, 28, 12, 2]),
  "qwen2.5-3b": sized(qwen25, [2048, 11_008, 36, 16, 2]),
  "qwen3-0.6b": sized({ ...qwen25, model_type: "qwen3", head_dim: 128 }, [1024, 3072, 28, 16, 8]),
  "llama3.2-1b": sized({ ...llama32, head_dim: 64 }, [2048, 8192, 16, 32, 8]),
  "llama3.2-3b": sized({ ...llama32, head_dim: 128 }, [3072, 8192, 28, 24, 8]),
  "smollm2-135m": sized(smollm2, [576, 1536, 30, 9, 3]),
  "smollm2-360m": sized(smollm2, [960, 2560, 32, 15, 5]),
} as const;

export const SHAPE_NAMES = Object.keys(SHAPES);

/**
 * A model of a known shape.
 * @param layers instead of the shape's own number
 * @throws ConfigError if there is no such shape
 */
export function modelOfShape(name: string, layers?: number): TextModel {
  const fields = Object.entries(SHAPES).find(([key]) => key === name.toLowerCase())?.[1];
  if (fields === undefined) {
    throw new ConfigError({
      where: "--shape",
      what: "no such shape",
      got: name,
      expected: `one of ${SHAPE_NAMES.join(", ")}`,
      hint: `the nearest name is "${nearest(name, SHAPE_NAMES)}"`,
    });
  }
  const changed = layers === undefined ? fields : { ...fields, num_hidden_layers: layers };
  return familyOf(fields.model_type).build(new ModelConfigFile(changed, name));
}
