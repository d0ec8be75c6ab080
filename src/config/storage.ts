/** The storage of frozen weights that a configuration asks for, in LLaMA-Factory's keys or by its name. */
import type { Settings } from "./derive.ts";

type StorageKeys = "storage" | "quantizationBit" | "quantizationType" | "doubleQuantization";

/** For `AutoModelForCausalLM.fromPretrained`: nothing where the weights are to be as they are. */
export function storageSettings(settings: Pick<Settings, StorageKeys>): {
  readonly storage?: string;
  readonly doubleQuantization?: boolean;
} {
  const { storage, quantizationBit, quantizationType, doubleQuantization } = settings;
  const name = storage ?? (quantizationBit === null ? undefined : quantizationBit === 8 ? "int8" : quantizationType);
  return name === undefined ? {} : { storage: name, doubleQuantization };
}
