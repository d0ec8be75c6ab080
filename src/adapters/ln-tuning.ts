/**
 * Tuning of norms: the adapter trains copies of the weights (and biases) of the model's normalization layers.
 *
 * Source: Zhao et al. 2023, "Tuning LayerNorm in Attention", arXiv 2312.11420, §3. Targets where none are named are PEFT's.
 */
import { ConfigError } from "../errors.ts";
import type { Method } from "./method.ts";

/** It has no settings: `target_modules` says all. */
export type LnTuningConfig = Readonly<Record<never, never>>;

/** PEFT's targets by `model_type`. */
const DEFAULTS: Readonly<Record<string, readonly string[]>> = {
  gpt2: ["ln_1", "ln_2", "ln_f"],
  llama: ["input_layernorm", "post_attention_layernorm", "norm"],
  mistral: ["input_layernorm", "post_attention_layernorm", "norm"],
  qwen2: ["post_attention_layernorm"],
  qwen3: ["post_attention_layernorm"],
};

export const lnTuning: Method<LnTuningConfig> = {
  name: "ln-tuning",
  source: "Zhao et al. 2023, arXiv 2312.11420",
  about: "trains copies of the weights of the norms, and nothing else",
  settings: {},
  on: "modules",
  file: {
    type: "LN_TUNING",
    lacks: ["bias", "ensure_weight_tying", "fan_in_fan_out", "layers_pattern", "layers_to_transform"],
    key: (module, parameter) => `base_model.model.${module}.ln_tuning_layers.${parameter}`,
  },

  defaultTargets({ modelType }) {
    const known = modelType === undefined ? undefined : DEFAULTS[modelType];
    if (known !== undefined) return known;
    throw new ConfigError({
      where: "target_modules",
      what: "nothing says which modules of this model are norms",
      hint: "name them, such as [input_layernorm, norm]",
    });
  },
};
