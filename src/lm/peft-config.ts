/** A fresh adapter from settings by PEFT's names: those of `adapter_config.json`, in camelCase or as they are. */
import { type Adapter, attach } from "../adapters/adapter.ts";
import type { AdaptableModel } from "../adapters/copies.ts";
import { attachAfter } from "../adapters/follow.ts";
import { METHODS } from "../adapters/index.ts";
import type { Method } from "../adapters/method.ts";
import { ConfigError } from "../errors.ts";
import { readConfig } from "../formats/peft/config.ts";
import { JsonObject, type JsonValue } from "../formats/peft/json-object.ts";
import type { Provenance } from "../formats/peft/config.ts";
import type { TextModel } from "../models/text-model.ts";
import { nearest } from "../nearest.ts";

/** Settings that every method has. */
const COMMON = [
  ..."peft_type target_modules exclude_modules layers_to_transform layers_pattern modules_to_save".split(" "),
  ..."bias fan_in_fan_out task_type ensure_weight_tying".split(" "),
];

/** A language model as adapters are put on it. @param nameOrPath where its tokenizer is */
export function adaptable(model: TextModel, defaultTargets: readonly string[], nameOrPath?: string): AdaptableModel {
  const { parameters, layers, tied, modelType, hiddenSize, blocks, heads, kvHeads, headDim, maxPositions } = model;
  return {
    parameters,
    layers,
    tied,
    defaultTargets,
    modelType,
    hiddenSize,
    blocks,
    kvHeads,
    headDim,
    maxPositions,
    ...(heads === undefined ? {} : { heads }),
    ...(model.newModules === undefined ? {} : { newModules: model.newModules }),
    ...(model.classToken === undefined ? {} : { classToken: model.classToken }),
    ...(nameOrPath === undefined ? {} : { nameOrPath }),
  };
}

/**
 * @param settings `method` says which of several methods with one `peftType` is meant, by its name in the registry; without
 *   it the settings do, as in a file (`useDora: true`)
 * @param previous adapter of an earlier task that the new one goes on from
 * @param taskType of the model, which the settings may repeat. Absent: any
 * @throws FormatError or ConfigError naming every setting that is wrong, unknown or cannot be honoured
 */
export function attachPeft(
  model: AdaptableModel,
  name: string,
  { method: chosen, ...settings }: { readonly peftType: string; readonly [setting: string]: unknown },
  { previous, taskType }: { readonly previous?: Adapter } & Pick<Provenance, "taskType"> = {},
): Adapter {
  const fields = Object.entries(settings).map(([key, value]) => [wireName(key), (value ?? null) as JsonValue] as const);
  const type: unknown = settings.peftType;
  const where = typeof type === "string" ? `${pascalCase(type)}Config` : "PeftConfig";
  const { method, config, selection, unknown } = readConfig(new JsonObject(where, new Map(fields)), {}, chosen);
  if (unknown.length > 0) {
    const known = [...COMMON, ...wireNames(method)].map(camelCase);
    throw new ConfigError({
      where,
      what: "there are no such settings",
      got: unknown.join(", "),
      hint: unknown.map((key) => `${key}: the nearest one is ${nearest(camelCase(key), known)!}`).join("; "),
    });
  }
  const asked = settings["taskType"] ?? settings["task_type"] ?? taskType;
  if (asked !== taskType && taskType !== undefined) {
    throw new ConfigError({
      where,
      what: "task_type is not what the model was loaded for",
      got: typeof asked === "string" ? asked : JSON.stringify(asked),
      expected: taskType,
      hint: "leave it out, or load the model with the class for the task",
    });
  }
  // As in PEFT, an adapter that is trained to classify has a head of its own.
  const modulesToSave = [...new Set([...selection.modulesToSave, ...(model.newModules ?? [])])];
  const options = { ...selection, modulesToSave, name, config };
  return previous === undefined ? attach(model, method, options) : attachAfter(previous, method, options);
}

function wireNames(method: Method<object>): string[] {
  const settings = Object.values(method.settings) as readonly { readonly wire?: string }[];
  return settings.flatMap(({ wire }) => wire ?? []);
}

/** `PREFIX_TUNING` -> `PrefixTuning` */
function pascalCase(type: string): string {
  return type.toLowerCase().replace(/(?:^|_)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** `lora_alpha` -> `loraAlpha` */
function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** `loraAlpha` -> `lora_alpha`; what PEFT calls `deltaT` stays so. */
function wireName(key: string): string {
  if (METHODS.some((method) => wireNames(method).includes(key))) return key;
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
