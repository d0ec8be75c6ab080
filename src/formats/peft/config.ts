/** `adapter_config.json`: what every method has in it, around the method's own settings. */
import type { Adapter, Selection } from "../../adapters/adapter.ts";
import { BIAS_MODES, type BiasMode } from "../../adapters/copies.ts";
import type { Method, RankConfig } from "../../adapters/method.ts";
import { configure } from "../../adapters/settings.ts";
import { configOn } from "../../adapters/patterns.ts";
import { shortNames } from "../../adapters/targets.ts";
import { FormatError, listed, LowrankError } from "../../errors.ts";
import { type JsonObject, type JsonValue, shown } from "./json-object.ts";
import { methodOf, peftType, peftTypes, readSettings, writeSettings } from "./methods.ts";

export const CONFIG_FILE = "adapter_config.json";

/** The version whose format is written. */
const PEFT_VERSION = "0.21.0";

/** Settings that say where an adapter comes from, and nothing about what it computes. */
const PROVENANCE = [
  "auto_mapping",
  "fan_in_fan_out",
  "inference_mode",
  "peft_version",
  "revision",
  "runtime_config",
  "task_type",
];

/** Where an adapter comes from, for programs that load it together with its model. */
export interface Provenance {
  /** Hub name or path of the model. Default: not said. */
  readonly baseModelNameOrPath?: string;
  /** Revision of the model on the hub. Default: not said. */
  readonly revision?: string;
  /** Such as `CAUSAL_LM`, which PEFT's `AutoPeftModel` classes go by. Default: not said. */
  readonly taskType?: string;
  /** The class that was adapted: what PEFT writes where there is no `taskType`. Default: not said. */
  readonly autoMapping?: { readonly baseModelClass: string; readonly parentLibrary: string };
}

/** As PEFT writes it: names sorted, indented by two, nothing after the last brace. */
export function configText(
  adapter: Adapter,
  provenance: Provenance,
  packed: Readonly<Record<string, JsonValue>> = {},
): string {
  const { baseModelNameOrPath, revision, taskType, autoMapping } = provenance;
  const linear = adapter.targets.flatMap(({ layer }) => (layer.kind === "linear" ? [layer] : []));
  const fields: Record<string, JsonValue> = {
    auto_mapping:
      autoMapping === undefined || taskType !== undefined
        ? null
        : { base_model_class: autoMapping.baseModelClass, parent_library: autoMapping.parentLibrary },
    base_model_name_or_path: baseModelNameOrPath ?? null,
    bias: adapter.bias,
    ensure_weight_tying: adapter.ensureWeightTying,
    exclude_modules: adapter.excludeModules ?? null,
    // PEFT has one setting for all layers, and corrects it layer by layer: what is left is that of the last one.
    fan_in_fan_out: linear.at(-1)?.fanInFanOut ?? false,
    inference_mode: true,
    layers_pattern: adapter.layersPattern ?? null,
    layers_to_transform: adapter.layersToTransform ?? null,
    modules_to_save: adapter.modulesToSave.length === 0 ? null : adapter.modulesToSave,
    peft_type: peftType(adapter.method),
    peft_version: PEFT_VERSION,
    revision: revision ?? null,
    target_modules: adapter.method.on === "model" ? null : adapter.targetModules,
    task_type: taskType ?? null,
    ...overLacks(adapter),
    ...writeSettings(adapter.method, withSortedPatterns(adapter)),
    ...packed,
  };
  const lacks = new Set<string>(adapter.method.file?.lacks);
  const said = Object.entries(fields).filter(([key, value]) => !lacks.has(key) || !SAYS_NOTHING.has(value));
  return JSON.stringify(sorted(Object.fromEntries(said)), null, 2);
}

/** Values of settings that every adapter has, when nothing was asked for. */
const SAYS_NOTHING: ReadonlySet<JsonValue> = new Set([null, false, "none"]);

/** The targets as PEFT's type can say them: it may know nothing of what narrows them. */
function overLacks(adapter: Adapter): Record<string, JsonValue> {
  const { method, model, targets, excludeModules, layersToTransform } = adapter;
  const lacks = new Set<string>(method.file?.lacks);
  const isNarrowed =
    (excludeModules !== undefined && lacks.has("exclude_modules")) ||
    (layersToTransform !== undefined && lacks.has("layers_to_transform"));
  if (!isNarrowed) return {};
  const layers = targets.map(({ layer }) => layer);
  const narrowed = { exclude_modules: null, layers_to_transform: null, layers_pattern: null };
  return { ...narrowed, target_modules: shortNames(model.layers, layers) };
}

function sorted<T>(fields: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** PEFT sorts patterns too, though the first that matches counts. They keep their order where that would change a layer. */
function withSortedPatterns({ config, targets }: Adapter): object {
  const { rankPattern, alphaPattern } = config as Partial<RankConfig>;
  if (rankPattern === undefined || alphaPattern === undefined) return config;
  const other = { ...config, rankPattern: sorted(rankPattern), alphaPattern: sorted(alphaPattern) };
  const isSame = targets.every(({ layer, config: own }) => {
    const { r, alpha } = own as RankConfig;
    const again = configOn(other, layer.name) as Partial<RankConfig>;
    return again.r === r && again.alpha === alpha;
  });
  return isSame ? other : config;
}

export interface AdapterConfig {
  readonly method: Method<object>;
  /** The method's configuration. */
  readonly config: object;
  readonly baseModelNameOrPath: string | undefined;
  /** Such as `SEQ_CLS`. */
  readonly taskType: string | undefined;
  /** Targets may be missing: the tensors say which layers they are. */
  readonly selection: Omit<Selection, "targetModules"> & Partial<Pick<Selection, "targetModules">>;
  /** Names in the file that mean nothing here. */
  readonly unknown: readonly string[];
}

/**
 * @param more settings of the method on top of those of the file
 * @param chosen name of the method, where the file need not say which of those with its `peft_type` it is
 * @throws FormatError naming everything that is wrong or cannot be honoured
 */
export function readConfig(file: JsonObject, more: object, chosen?: unknown): AdapterConfig {
  const type = file.get("peft_type");
  const method = methodOf(file, chosen);
  if (method === undefined) {
    throw new FormatError({
      where: file.path,
      what: type === undefined ? "peft_type is missing" : "no such peft_type here",
      ...(type === undefined ? {} : { got: shown(type) }),
      expected: peftTypes().join(", "),
    });
  }
  for (const key of PROVENANCE) file.get(key);
  const settings = { ...readSettings(method, file), ...more };
  const baseModelNameOrPath = file.string("base_model_name_or_path");
  const taskType = file.string("task_type");
  const selection = readSelection(file);
  let config: object = {};
  try {
    config = configure(method, settings);
  } catch (error) {
    if (!(error instanceof LowrankError)) throw error;
    file.problems.push(error.problem.where === method.name ? error.problem.what : error.message);
  }
  if (file.problems.length > 0) throw new FormatError({ where: file.path, what: listed(file.problems) });
  return { method, config, baseModelNameOrPath, taskType, selection, unknown: file.unknown() };
}

function readSelection(file: JsonObject): AdapterConfig["selection"] {
  const bias = file.string("bias") ?? "none";
  if (!isBiasMode(bias)) file.problems.push(`bias is ${shown(bias)}, not one of ${BIAS_MODES.join(", ")}`);
  const modulesToSave = file.names("modules_to_save") ?? [];
  const optional = {
    targetModules: file.names("target_modules"),
    excludeModules: file.names("exclude_modules"),
    layersToTransform: file.indices("layers_to_transform"),
    layersPattern: file.names("layers_pattern"),
  };
  return {
    bias: isBiasMode(bias) ? bias : "none",
    modulesToSave: [modulesToSave].flat(),
    ensureWeightTying: file.boolean("ensure_weight_tying") ?? false,
    ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)),
  };
}

function isBiasMode(value: string): value is BiasMode {
  return (BIAS_MODES as readonly string[]).includes(value);
}
