/** Tuning methods in `adapter_config.json`: which of them a file is of, and their settings in both directions. */
import { METHODS } from "../../adapters/index.ts";
import type { Method } from "../../adapters/method.ts";
import type { Setting } from "../../adapters/settings.ts";
import { LowrankError } from "../../errors.ts";
import { type JsonObject, type JsonValue, shown } from "./json-object.ts";

/** `peft_type` of a method: PEFT's, or its own name for one that PEFT does not have. */
export function peftType({ name, file }: Pick<Method<object>, "name" | "file">): string {
  return file?.type ?? name.toUpperCase().replaceAll("-", "_");
}

/** All values that `peft_type` may have. */
export function peftTypes(): string[] {
  return [...new Set(METHODS.map((method) => peftType(method)))];
}

/** The method that a file is of; undefined if there is none with its `peft_type`. */
export function methodOf(file: JsonObject, chosen?: unknown): Method<object> | undefined {
  const type = file.get("peft_type");
  const candidates = METHODS.filter((method) => peftType(method) === type);
  const named = candidates.find(({ name }) => name === chosen);
  if (named !== undefined) return named;
  const claims = (method: Method<object>) => method.file?.claims?.((key) => file.peek(key));
  const own = candidates.filter((method) => method.file?.as === undefined);
  return own.find((method) => claims(method) === true) ?? own.find((method) => claims(method) === undefined);
}

/** All settings of a method by their names in the file. */
export function writeSettings<C extends object>(method: Method<C>, config: C): Record<string, JsonValue> {
  const entries = Object.entries(method.settings) as [keyof C, Setting<C[keyof C]>][];
  const written = entries.flatMap(([key, setting]) =>
    setting.wire === undefined || setting.trainingOnly === true
      ? []
      : [[setting.wire, setting.write?.(config[key], config) ?? (config[key] as JsonValue)] as const],
  );
  return { ...method.file?.also?.(config), ...Object.fromEntries(written) };
}

/** The settings that the file has. What cannot be honoured is added to `file.problems`. */
export function readSettings<C extends object>(method: Method<C>, file: JsonObject): Partial<C> {
  const config: Partial<C> = {};
  for (const [key, setting] of Object.entries(method.settings) as [keyof C & string, Setting<C[keyof C]>][]) {
    const { wire } = setting;
    if (wire === undefined) continue;
    const value = file.get(wire) ?? null;
    if (value === null) continue;
    try {
      const read = setting.read === undefined ? (value as C[keyof C & string]) : setting.read(value);
      if (read === undefined) continue;
      const wrong = setting.problems(wire, read);
      file.problems.push(...wrong);
      if (wrong.length === 0) config[key] = read as C[typeof key];
    } catch (error) {
      if (!(error instanceof LowrankError)) throw error;
      file.problems.push(error.problem.what);
    }
  }
  checkOthers(method.file?.ignored, method.file?.refused, file);
  return config;
}

function checkOthers(ignored: readonly string[] = [], refused: readonly string[] = [], file: JsonObject): void {
  for (const key of ignored) file.get(key);
  for (const key of refused) {
    const value = file.get(key) ?? null;
    if (!isNothing(value)) file.problems.push(`${key} is ${shown(value)}: it is not supported, and would be missing`);
  }
}

function isNothing(value: JsonValue): boolean {
  if (value === null || value === false) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}
