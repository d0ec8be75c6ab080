/**
 * LoRA's settings as PEFT 0.21 calls them.
 *
 * Written are the settings that readers of all ages know; newer ones are left out, since a missing one takes its default
 * everywhere and an unknown one stops old readers.
 */
import { lora, type LoraConfig } from "../../adapters/lora.ts";
import { type JsonObject, type JsonValue, shown } from "./json-object.ts";
import type { PeftMethod } from "./methods.ts";

/** Settings that change what an adapter computes, or which layers it is on. Anything but nothing is refused. */
const UNSUPPORTED = [
  "alora_invocation_tokens",
  "alpha_pattern",
  "arrow_config",
  "fan_in_fan_out",
  "kasa_config",
  "layer_replication",
  "layers_to_transform",
  "lora_bias",
  "modules_to_save",
  "monteclora_config",
  "rank_pattern",
  "target_parameters",
  "trainable_token_indices",
  "use_bdlora",
  "use_dora",
  "use_qalora",
  "velora_config",
];

/** Settings that change nothing about an adapter that is there: how it started, what other settings would need. */
const WITHOUT_EFFECT = [
  "corda_config",
  "ensure_weight_tying",
  "eva_config",
  "layers_pattern",
  "loftq_config",
  "lora_ga_config",
  "megatron_config",
  "megatron_core",
  "qalora_group_size",
];

/** Values of `init_lora_weights` that leave the weights of the base as they are. The others move a part of them. */
const HARMLESS_INITS = ["gaussian", "eva", "orthogonal", "mica"];

export const peftLora: PeftMethod<LoraConfig> = {
  method: lora,
  type: "LORA",

  write: ({ r, alpha, dropout, useRslora, init }) => ({
    alpha_pattern: {},
    bias: "none",
    fan_in_fan_out: false,
    // N(0, 1) has no name there. Loading never initialises again, so the default's name does no harm.
    init_lora_weights: init === "gaussian" ? "gaussian" : true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    loftq_config: {},
    lora_alpha: alpha,
    lora_dropout: dropout,
    megatron_config: null,
    megatron_core: "megatron.core",
    modules_to_save: null,
    r,
    rank_pattern: {},
    use_dora: false,
    use_rslora: useRslora,
  }),

  read(file) {
    const r = file.number("r");
    const alpha = file.number("lora_alpha");
    const dropout = file.number("lora_dropout");
    const useRslora = file.boolean("use_rslora");
    for (const key of WITHOUT_EFFECT) file.get(key);
    const bias = file.string("bias") ?? "none";
    if (bias !== "none") file.problems.push(`bias is ${shown(bias)}: trained biases are not supported`);
    for (const key of UNSUPPORTED) {
      const value = file.get(key) ?? null;
      if (!isNothing(value)) file.problems.push(`${key} is ${shown(value)}: it is not supported, and would be missing`);
    }
    const init = readInit(file);
    return {
      ...(r === undefined ? {} : { r }),
      ...(alpha === undefined ? {} : { alpha }),
      ...(dropout === undefined ? {} : { dropout }),
      ...(useRslora === undefined ? {} : { useRslora }),
      ...(init === undefined ? {} : { init }),
    };
  },
};

function readInit(file: JsonObject): LoraConfig["init"] | undefined {
  const value = file.get("init_lora_weights") ?? true;
  if (typeof value === "boolean") return undefined;
  const name = typeof value === "string" ? value.toLowerCase() : "";
  if (!HARMLESS_INITS.includes(name)) {
    file.problems.push(
      `init_lora_weights is ${shown(value)}: it changes the weights of the base, which this adapter then does not fit`,
    );
  }
  return name === "gaussian" ? "gaussian" : undefined;
}

function isNothing(value: JsonValue): boolean {
  if (value === null || value === false) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}
