/** `adapter_config.json`: what every method has in it, around the method's own settings. */
import type { Adapter } from "../../adapters/adapter.ts";
import { FormatError, listed, LowrankError } from "../../errors.ts";
import { type JsonObject, type JsonValue, shown } from "./json-object.ts";
import { PEFT_METHODS, type PeftMethod } from "./methods.ts";

export const CONFIG_FILE = "adapter_config.json";

/** The version whose format is written. */
const PEFT_VERSION = "0.21.0";

/** Settings that say where an adapter comes from, and nothing about what it computes. */
const PROVENANCE = ["auto_mapping", "inference_mode", "peft_version", "revision", "runtime_config", "task_type"];

/** As PEFT writes it: names sorted, indented by two, nothing after the last brace. */
export function configText(adapter: Adapter, format: PeftMethod<unknown>, base: string | undefined): string {
  const fields: Record<string, JsonValue> = {
    auto_mapping: null,
    base_model_name_or_path: base ?? null,
    inference_mode: true,
    peft_type: format.type,
    peft_version: PEFT_VERSION,
    revision: null,
    target_modules: adapter.targetModules,
    task_type: null,
    ...format.write(adapter.config),
  };
  return JSON.stringify(Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1))), null, 2);
}

export interface AdapterConfig {
  readonly format: PeftMethod<unknown>;
  /** The method's configuration. */
  readonly config: unknown;
  readonly baseModelNameOrPath: string | undefined;
  readonly targetModules: string | readonly string[] | undefined;
  readonly excludeModules: string | readonly string[] | undefined;
  /** Names in the file that mean nothing here. */
  readonly unknown: readonly string[];
}

/**
 * @param more settings of the method on top of those of the file
 * @throws FormatError naming everything that is wrong or cannot be honoured
 */
export function readConfig(file: JsonObject, more: object): AdapterConfig {
  const type = file.get("peft_type");
  const format = PEFT_METHODS.find((candidate) => candidate.type === type);
  if (format === undefined) {
    throw new FormatError({
      where: file.path,
      what: type === undefined ? "peft_type is missing" : "no such peft_type here",
      ...(type === undefined ? {} : { got: shown(type) }),
      expected: PEFT_METHODS.map((candidate) => candidate.type).join(", "),
    });
  }
  for (const key of PROVENANCE) file.get(key);
  const settings = { ...format.read(file), ...more };
  const common = {
    baseModelNameOrPath: file.string("base_model_name_or_path"),
    targetModules: file.names("target_modules"),
    excludeModules: file.names("exclude_modules"),
  };
  let config: unknown;
  try {
    config = format.method.configure(settings);
  } catch (error) {
    if (!(error instanceof LowrankError)) throw error;
    file.problems.push(error.problem.what);
  }
  if (file.problems.length > 0) throw new FormatError({ where: file.path, what: listed(file.problems) });
  return { format, config, ...common, unknown: file.unknown() };
}
