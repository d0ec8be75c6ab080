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
> &
  Partial<Pick<Settings, "useDora" | "loraplusLrRatio" | "loraplusLrEmbedding" | "pissaInit" | "pissaIter">>;

/** Settings of `peft_config` win over those of LLaMA-Factory's keys. */
export function peftConfigOf(config: Asked): PeftConfig {
  const { finetuningType, loraTarget, peftConfig } = config;
  const name = config.useDora === true && finetuningType === "lora" ? "dora" : finetuningType;
  const method = METHODS.find((one) => one.name === name)!;
  const lora = takesLoraKeys(finetuningType)
    ? {
        r: config.loraRank,
        loraAlpha: config.loraAlpha,
        loraDropout: config.loraDropout,
        useRslora: config.useRslora,
        ...variants(config),
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

/** Of LoRA: how it starts, and how fast its parts learn. */
function variants({
  pissaInit = false,
  pissaIter = -1,
  loraplusLrRatio = null,
  loraplusLrEmbedding,
}: Asked): Readonly<Record<string, unknown>> {
  return {
    ...(pissaInit ? { initLoraWeights: pissaIter < 0 ? "pissa" : `pissa_niter_${pissaIter}` } : {}),
    ...(loraplusLrRatio === null ? {} : { loraplusLrRatio, loraplusLrEmbedding }),
  };
}
