/** Tuning methods that PEFT has too: how their settings are called in `adapter_config.json`. */
import type { Method } from "../../adapters/method.ts";
import type { JsonObject, JsonValue } from "./json-object.ts";
import { peftLora } from "./lora-settings.ts";

/** The settings of one method, in both directions. */
export interface PeftMethod<C> {
  readonly method: Method<C>;
  /** `peft_type`. */
  readonly type: string;
  /** All settings of the method, by their names in the file, besides those that every method has. */
  write(config: C): Readonly<Record<string, JsonValue>>;
  /**
   * The settings that the file has. What cannot be honoured is added to `file.problems`; names that are not asked for
   * count as unknown.
   */
  read(file: JsonObject): Partial<C>;
}

export const PEFT_METHODS: readonly PeftMethod<unknown>[] = [peftLora];
