/**
 * LoRA in PEFT 0.21's `adapter_config.json`, besides its settings. All that PEFT writes is written, with the values of a LoRA
 * that uses none of the variants that are not built.
 */
import { ConfigError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import type { LoftqConfig, LoraInit } from "./lora.ts";
import { type JsonValue, shownValue } from "./settings.ts";
import { findStart, startNamed, STARTS } from "./starts/index.ts";

/** Settings that change what an adapter computes, or which layers it is on. Anything but nothing is refused. */
export const UNSUPPORTED = [
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
export const WITHOUT_EFFECT = [
  "corda_config",
  "eva_config",
  "fan_in_fan_out",
  "lora_ga_config",
  "megatron_config",
  "megatron_core",
  "qalora_group_size",
];

/** Starts that are not built and leave the weights of the base as they are. */
const HARMLESS_INITS = ["eva", "mica"];
/** Those that move a part of them. */
const MOVING_INITS = ["corda", "lora_ga"];

/** Of variants that are not built, what PEFT writes when they are off. */
export const OFF = {
  alora_invocation_tokens: null,
  arrow_config: null,
  corda_config: null,
  eva_config: null,
  kasa_config: null,
  layer_replication: null,
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

/** @throws ConfigError for a start that is not built and changes the base */
export function readInit(value: JsonValue): LoraInit | undefined {
  if (typeof value === "boolean") return value ? undefined : "random";
  const name = typeof value === "string" ? value.toLowerCase() : value;
  if (findStart(name) !== undefined) return name as LoraInit;
  if (typeof name === "string" && HARMLESS_INITS.includes(name)) return undefined;
  if (typeof name !== "string" || !MOVING_INITS.includes(name)) {
    const names = STARTS.flatMap((start) => (typeof start.wire === "boolean" ? [] : [start.name]));
    const closest = typeof name === "string" ? nearest(name, names) : undefined;
    throw new ConfigError({
      what: `init_lora_weights is ${shownValue(value)}, not true, false, ${names.join(", ")}${closest === undefined ? "" : ` (nearest: ${closest})`}`,
    });
  }
  throw new ConfigError({
    what: `init_lora_weights is ${shownValue(value)}: it changes the weights of the base, which this adapter then does not fit`,
  });
}

export function writeInit(init: LoraInit): JsonValue {
  return startNamed(init).wire ?? init;
}

/** `{ loftq_bits: 4, loftq_iter: 1 }`, or the same in camelCase. */
export function readLoftq(value: JsonValue): LoftqConfig | undefined {
  const { loftq_bits, loftqBits, bits, loftq_iter, loftqIter, iterations } = Object(value) as Record<string, unknown>;
  const [wide, often] = [loftq_bits ?? loftqBits ?? bits, loftq_iter ?? loftqIter ?? iterations];
  if (wide === undefined && often === undefined) return undefined;
  return { bits: (wide ?? 4) as LoftqConfig["bits"], iterations: (often ?? 1) as number };
}
