/** The adapter that a configuration asks for, in PEFT's words. */
import { METHODS } from "../adapters/index.ts";
import type { Settings } from "../config/derive.ts";
import { takesLoraKeys } from "../config/methods.ts";
import { peftType } from "../formats/peft/methods.ts";
import type { PeftConfig } from "../lm/peft-model.ts";

type Asked = Pick<
  Settings,
  | "finetuningType"
  | "loraRank"
  | "loraAlpha"
  | "loraDropout"
  | "loraTarget"
  | "useRslora"
  | "additionalTarget"
  | "peftConfig"
>;

/** Settings of `peft_config` win over those of LLaMA-Factory's keys. */
export function peftConfigOf(config: Asked): PeftConfig {
  const { finetuningType, loraTarget, peftConfig } = config;
  const method = METHODS.find(({ name }) => name === finetuningType)!;
  const lora = takesLoraKeys(finetuningType)
    ? {
        r: config.loraRank,
        loraAlpha: config.loraAlpha,
        loraDropout: config.loraDropout,
        useRslora: config.useRslora,
        targetModules: loraTarget === "all" ? "all-linear" : loraTarget,
      }
    : loraTarget === "all"
      ? {}
      : { targetModules: loraTarget };
  return {
    peftType: peftType(method),
    method: method.name,
    ...lora,
    ...(config.additionalTarget === null ? {} : { modulesToSave: config.additionalTarget }),
    ...peftConfig,
  };
}
