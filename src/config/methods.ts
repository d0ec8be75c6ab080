/** What `finetuning_type` can be: weights of the model itself, or a tuning method of the registry. */
import { METHODS } from "../adapters/index.ts";

/** Trained weights of the model itself. */
const WHOLE = ["full", "freeze"] as const;

export const FINETUNING_TYPES: readonly string[] = [...METHODS.map(({ name }) => name), ...WHOLE];

/** Whether an adapter is trained, and not weights of the model itself. */
export function trainsAdapter(finetuningType: string): boolean {
  return METHODS.some(({ name }) => name === finetuningType);
}

/** Whether LLaMA-Factory's `lora_*` keys are settings of the method. */
export function takesLoraKeys(finetuningType: string): boolean {
  const method = METHODS.find(({ name }) => name === finetuningType);
  return method?.file?.type === "LORA";
}
