/**
 * LoRA's settings as PEFT 0.21 calls them. All that it writes are written, with the values of a LoRA that uses none of the
 * variants that are not built.
 */
import { lora, type LoraConfig } from "../../adapters/lora.ts";
import { type JsonObject, type JsonValue, shown } from "./json-object.ts";
import type { PeftMethod } from "./methods.ts";

/** Settings that change what an adapter computes, or which layers it is on. Anything but nothing is refused. */
const UNSUPPORTED = [
  "alora_invocation_tokens",
  "arrow_config",
  "kasa_config",
  "layer_replication",
  "monteclora_config",
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
  "eva_config",
  "fan_in_fan_out",
  "loftq_config",
  "lora_ga_config",
  "megatron_config",
  "megatron_core",
  "qalora_group_size",
];

/** Values of `init_lora_weights` that leave the weights of the base as they are. The others move a part of them. */
const HARMLESS_INITS = ["gaussian", "eva", "orthogonal", "mica"];

/** Of variants that are not built, what PEFT writes when they are off. */
const OFF = {
  alora_invocation_tokens: null,
  arrow_config: null,
  corda_config: null,
  eva_config: null,
  kasa_config: null,
  layer_replication: null,
  loftq_config: {},
  lora_ga_config: null,
  megatron_config: null,
  megatron_core: "megatron.core",
  monteclora_config: null,
  qalora_group_size: 16,
  target_parameters: null,
  trainable_token_indices: null,
  use_bdlora: null,
  use_dora: false,
  use_qalora: false,
  velora_config: null,
} as const satisfies Readonly<Record<string, JsonValue>>;

export const peftLora: PeftMethod<LoraConfig> = {
  method: lora,
  type: "LORA",

  write: ({ r, alpha, dropout, useRslora, loraBias, rankPattern, alphaPattern, init }) => ({
    ...OFF,
    alpha_pattern: alphaPattern,
    init_lora_weights: init === "gaussian" ? init : init !== "random",
    lora_alpha: alpha,
    lora_bias: loraBias,
    lora_dropout: dropout,
    r,
    rank_pattern: rankPattern,
    use_rslora: useRslora,
  }),

  read(file) {
    const settings = {
      r: file.number("r"),
      alpha: file.number("lora_alpha"),
      dropout: file.number("lora_dropout"),
      useRslora: file.boolean("use_rslora"),
      loraBias: file.boolean("lora_bias"),
      rankPattern: file.numbers("rank_pattern"),
      alphaPattern: file.numbers("alpha_pattern"),
      init: readInit(file),
    };
    for (const key of WITHOUT_EFFECT) file.get(key);
    for (const key of UNSUPPORTED) {
      const value = file.get(key) ?? null;
      if (!isNothing(value)) file.problems.push(`${key} is ${shown(value)}: it is not supported, and would be missing`);
    }
    return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
  },
};

function readInit(file: JsonObject): LoraConfig["init"] | undefined {
  const value = file.get("init_lora_weights") ?? true;
  if (typeof value === "boolean") return value ? undefined : "random";
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
