/** Reads an adapter that PEFT wrote, or `save.ts`, onto a device. */
import { join } from "node:path";
import { type Adapter, adapterOn } from "../../adapters/adapter.ts";
import {
  type AdaptableModel,
  copiedBiases,
  copiedModules,
  type Copy,
  unmatchedModules,
} from "../../adapters/copies.ts";
import { type BaseWeights, deriveAdapter } from "../../adapters/initialize.ts";
import { configOn, unusedPatterns } from "../../adapters/patterns.ts";
import { blockOf, endsIn, matchTargets } from "../../adapters/targets.ts";
import { EngineError, FormatError, listed, LowrankError } from "../../errors.ts";
import { nearest } from "../../nearest.ts";
import type { Layer, ParameterSpec } from "../../nn/module.ts";
import type { Device } from "../../runtime/runtime.ts";
import { isFloatDtype } from "../safetensors/dtype.ts";
import type { SafetensorsFile } from "../safetensors/reader.ts";
import { quote } from "../safetensors/strict-json.ts";
import { type AdapterConfig, CONFIG_FILE, readConfig } from "./config.ts";
import { readJsonObject } from "./json-object.ts";
import { copyKey, keyOf, tensorKey, tensorKeys } from "./tensor-keys.ts";
import { vocabularyLayers } from "./vocabulary.ts";
import { canonicalKeys, openWeights } from "./weights.ts";

/** Problems for which the nearest name is looked up: those that a message shows. */
const EXPLAINED = 10;
/** Characters of a name that are compared: more than any real one has. */
const COMPARED = 200;

export interface LoadAdapterOptions {
  /** Default: "default". */
  readonly name?: string;
  /** Name of the tuning method, where several have the same file. Default: the one that the file's settings are of. */
  readonly method?: string;
  /** Settings of the method that the file does not hold, such as LoRA's `form`; they win over those that it does. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** How the weights of the base are read, where a method starts from them. Default: they are states of the device. */
  readonly base?: BaseWeights;
}

export interface LoadedAdapter {
  readonly adapter: Adapter;
  /** The model that the adapter says it is for. */
  readonly baseModelNameOrPath?: string;
  /** What was ignored, and what is strange, in sentences for a person. */
  readonly warnings: readonly string[];
}

/**
 * Loads an adapter for a model. It is put on the layers that the file has tensors for; float16, bfloat16 and float64 become
 * float32.
 *
 * A table of the base that came with the adapter is left aside where it is the base's own; another one stands in for it
 * while the adapter is on.
 *
 * @param device for tables of the base: with the base on it
 * @throws FormatError listing every setting that cannot be honoured (nothing that changes the result is skipped), or every
 *   tensor that is unknown, missing or does not fit
 */
export async function loadAdapter(
  device: Device,
  model: AdaptableModel,
  dir: string,
  options: LoadAdapterOptions = {},
): Promise<LoadedAdapter> {
  const { name = "default", config: more = {} } = options;
  const read = readConfig(await readJsonObject(join(dir, CONFIG_FILE)), more, options.method);
  const settings = { ...read, config: read.method.file?.loaded?.(read.config) ?? read.config };
  const weights = await openWeights(dir);
  const written: string[] = [];
  try {
    const fitted = fit(weights, model, settings, name);
    const { draft, keys, warnings } = fitted;
    const tables = await carriedTables(device, weights, fitted, model, name);
    const { targetModules } = settings.selection;
    const said = targetModules !== undefined && targetModules.length > 0 && targetModules !== "all-linear";
    const adapted = draft.targets.map(({ layer }) => layer);
    const adapter: Adapter = {
      ...draft,
      targetModules: said ? targetModules : adapted.map((layer) => layer.name),
      copies: new Map([...draft.copies, ...tables]),
    };
    const take = async (key: string, { name: state, shape }: ParameterSpec) => {
      const data = await weights.readFloat32(keys.get(key)!);
      await device.write(state, { dtype: "float32", shape, data });
      written.push(state);
      return data;
    };
    const { method } = adapter;
    let isIdle = adapter.copies.size === 0 && adapter.shared.size === 0;
    for (const { layer, states } of adapter.targets) {
      const values: Record<string, Float32Array> = {};
      for (const [parameter, spec] of states) {
        if (spec.derived !== true) values[parameter] = await take(keyOf(method, layer.name, parameter), spec);
      }
      isIdle &&= method.isIdle?.(values) ?? false;
    }
    for (const [parameter, spec] of adapter.shared) {
      if (spec.derived !== true) await take(keyOf(method, undefined, parameter), spec);
    }
    await readCopies(adapter, weights, keys, take);
    await deriveAdapter(device, adapter, options.base);
    const base = settings.baseModelNameOrPath;
    return {
      adapter,
      warnings: [
        ...warnings,
        ...[...tables].map(
          ([parameter]) => `${parameter}: the adapter brings a table of its own, which stands in for the base's`,
        ),
        ...(isIdle ? [`${dir}: the adapter changes nothing: one factor of every update is zero`] : []),
      ],
      ...(base === undefined ? {} : { baseModelNameOrPath: base }),
    };
  } catch (error) {
    for (const state of written) await device.free(state);
    throw error;
  } finally {
    await weights.close();
  }
}

/** Copies, each state once: a file has tied ones under both names. @throws FormatError if those differ */
async function readCopies(
  adapter: Adapter,
  weights: SafetensorsFile,
  keys: ReadonlyMap<string, string>,
  take: (key: string, spec: ParameterSpec) => Promise<Float32Array>,
): Promise<void> {
  const copies = new Set<ParameterSpec>(adapter.copies.values());
  const known = new Map<string, { readonly key: string; readonly data: Float32Array }>();
  for (const [key, copy] of tensorKeys(adapter)) {
    const other = known.get(copy.name);
    // A table that stands in for a tied name is not in the file under that one.
    if (!copies.has(copy) || !keys.has(key)) continue;
    if (other === undefined) {
      known.set(copy.name, { key, data: await take(key, copy) });
      continue;
    }
    const again = await weights.readFloat32(keys.get(key)!);
    if (!isSame(again, other.data)) {
      throw new FormatError({
        where: weights.path,
        what: `${quote(other.key)} and ${quote(key)} differ, but ensure_weight_tying says that they are one`,
      });
    }
  }
}

interface Expected {
  readonly layer: Layer;
  readonly spec: ParameterSpec;
}

interface Fit {
  /** The adapter that the file has the tensors of. */
  readonly draft: Adapter;
  /** Names of tensors as PEFT writes them, to those of the file. */
  readonly keys: ReadonlyMap<string, string>;
  readonly warnings: readonly string[];
}

/** The layers that the tensors are for, and the copies. @throws FormatError listing everything that does not fit */
function fit(weights: SafetensorsFile, model: AdaptableModel, given: AdapterConfig, name: string): Fit {
  const { expected, refused } = expectedTensors(model, given);
  const keys = canonicalKeys(weights.tensors.keys(), parameterNames(expected));
  const head = headKeys(keys, model, given);
  for (const key of head) keys.delete(key);
  const settings = head.length === 0 ? given : withoutHead(given);
  const { selection, method, config } = settings;
  const found = new Set([...keys.keys()].flatMap((key) => expected.get(key)?.layer ?? []));
  // A method that adds nothing to single layers is on those that the settings name.
  const adapted =
    (method.on ?? "layers") === "layers" && method.parameters === undefined
      ? matchTargets(model.layers, selection.targetModules ?? [], selection)
      : model.layers.filter((layer) => found.has(layer));
  const names = new Set(adapted.map((layer) => layer.name));
  const modules = copiedModules(model, { name, ...selection });
  const draft = adapterOn(model, adapted, method, {
    targetModules: [],
    ...selection,
    name,
    config,
    copies: new Map([...modules, ...copiedBiases(model, adapted, { name, bias: selection.bias }, modules)]),
  });
  const wanted = tensorKeys(draft);
  const tables = new Map(
    vocabularyLayers(model).flatMap((layer) => {
      const spec = tableOf(model, layer);
      return spec === undefined ? [] : [[copyKey(layer.weight, names), spec] as const];
    }),
  );

  const problems: string[] = [];
  for (const [key, own] of keys) {
    const spec = wanted.get(key) ?? tables.get(key);
    if (spec === undefined) {
      if (selection.bias === "all" && isShadow(key, keys)) continue;
      problems.push(unexpected(own, [...expected.keys(), ...wanted.keys()], refused, problems.length < EXPLAINED));
      continue;
    }
    const { dtype, shape } = weights.tensors.get(own)!;
    if (!isFloatDtype(dtype) || shape.join() !== spec.shape.join()) {
      problems.push(`${quote(own)} is ${dtype}[${shape.join(", ")}] and not F32[${spec.shape.join(", ")}]`);
    }
  }
  if (keys.size === 0) problems.push("it has no tensors");
  const { layers: targeted, unmatched } =
    method.on === undefined || method.on === "layers"
      ? targets(model, settings, modules)
      : { layers: new Set<Layer>(), unmatched: [] };
  // Names that the layers of one head have, those of another one may have, too.
  const isOther = (layer: Layer) => head.length > 0 && TOKEN_HEAD.test(layer.name);
  const lacking = [...expected].flatMap(([key, { layer }]) => (targeted.has(layer) && !isOther(layer) ? [key] : []));
  for (const key of new Set([...lacking, ...wanted.keys()])) {
    if (!keys.has(key)) problems.push(`${quote(key)} is missing`);
  }
  if (problems.length > 0) {
    throw new FormatError({
      where: weights.path,
      what: `does not fit the model: ${listed(problems)}`,
      hint: `check that the adapter was made for this model${settings.baseModelNameOrPath === undefined ? "" : `: it says ${quote(settings.baseModelNameOrPath)}`}`,
    });
  }
  const left =
    head.length === 0 ? [] : ["the adapter was trained to classify; its head is left aside: the model has another one"];
  return { draft, keys, warnings: [...left, ...fitWarnings(model, settings, adapted, unmatched)] };
}

/** Parts of a classifier that a model for another task does not have. */
const CLASS_HEAD = /^base_model\.(model\.)?(classifier|score|(bert\.)?pooler)\./;
const TOKEN_HEAD = /^(lm_head|cls)(\.|$)/;
const CLASS_MODULES = ["classifier", "score"];

/** Tensors of the head of a classifier, where the model is none: what it has learnt about the body can be used all the same. */
function headKeys(
  keys: ReadonlyMap<string, string>,
  { newModules, layers }: AdaptableModel,
  { taskType }: AdapterConfig,
): string[] {
  if (taskType !== "SEQ_CLS" || newModules !== undefined) return [];
  const own = layers.map((layer) => tensorKey(layer.name, ""));
  return [...keys.keys()].filter((key) => CLASS_HEAD.test(key) && !own.some((prefix) => key.startsWith(prefix)));
}

function withoutHead(settings: AdapterConfig): AdapterConfig {
  const modulesToSave = settings.selection.modulesToSave.filter((name) => !CLASS_MODULES.includes(name));
  return { ...settings, selection: { ...settings.selection, modulesToSave } };
}

/** The method's tensors on every layer by their names, and the layers that it cannot be on with the reasons. */
function expectedTensors(
  { layers }: AdaptableModel,
  { method, config }: AdapterConfig,
): { expected: ReadonlyMap<string, Expected>; refused: ReadonlyMap<Layer, string> } {
  const expected = new Map<string, Expected>();
  const refused = new Map<Layer, string>();
  for (const layer of layers) {
    try {
      for (const spec of method.parameters?.(layer, configOn(config, layer.name)) ?? []) {
        if (spec.derived !== true) expected.set(keyOf(method, layer.name, spec.name), { layer, spec });
      }
    } catch (error) {
      if (!(error instanceof LowrankError)) throw error;
      refused.set(layer, error.message);
    }
  }
  return { expected, refused };
}

/** First parts of the names of parameters, without the names of their layers. */
function parameterNames(expected: ReadonlyMap<string, Expected>): string[] {
  return [...new Set([...expected.values()].map(({ spec }) => spec.name.split(".")[0]!))];
}

/** What PEFT writes a second time with `bias: all`: biases inside its wrapping of a module to save. */
function isShadow(key: string, keys: ReadonlyMap<string, string>): boolean {
  // Inside of a block it still has the adapter's name.
  return [/\.(modules_to_save|original_module)\./, /\.modules_to_save\.[^.]+\./].some((wrapping) => {
    const plain = key.replace(wrapping, ".");
    return plain !== key && plain.endsWith(".bias") && keys.has(plain);
  });
}

function tableOf({ parameters, tied = {} }: AdaptableModel, { weight }: Layer): ParameterSpec | undefined {
  const state = tied[weight] ?? weight;
  return parameters.find(({ name }) => name === state);
}

/** Tables of the base that the file has and that are not the base's own: copies that are not trained. */
async function carriedTables(
  device: Device,
  weights: SafetensorsFile,
  { keys, draft: { targets: adapted, copies } }: Fit,
  model: AdaptableModel,
  adapter: string,
): Promise<Map<string, Copy>> {
  const names = new Set(adapted.map(({ layer }) => layer.name));
  const tables = new Map<string, Copy>();
  for (const layer of vocabularyLayers(model)) {
    const key = keys.get(copyKey(layer.weight, names));
    const spec = tableOf(model, layer);
    if (key === undefined || spec === undefined || copies.has(layer.weight)) continue;
    if (isSame(await weights.readFloat32(key), await readIfThere(device, spec.name))) continue;
    const name = `${layer.name}.base_layer.${adapter}.weight`;
    const copy: Copy = { ...spec, name, from: spec.name, frozen: true };
    // PEFT reads it over a weight that two layers may share.
    const sharing = Object.entries(model.tied ?? {}).flatMap(([other, source]) =>
      source === spec.name ? [other] : [],
    );
    for (const parameter of [spec.name, ...sharing]) {
      if (!copies.has(parameter) && (parameter === layer.weight || !tables.has(parameter))) tables.set(parameter, copy);
    }
  }
  return tables;
}

async function readIfThere(device: Device, state: string): Promise<ArrayLike<number | bigint> | undefined> {
  try {
    return (await device.read(state)).data;
  } catch (error) {
    if (error instanceof EngineError) return undefined;
    throw error;
  }
}

function isSame(a: Float32Array, b: ArrayLike<number | bigint> | undefined): boolean {
  return b !== undefined && a.length === b.length && a.every((value, i) => value === b[i]);
}

function fitWarnings(
  model: AdaptableModel,
  { selection, config, taskType, unknown }: AdapterConfig,
  adapted: readonly Layer[],
  unmatched: readonly string[],
): string[] {
  const names = adapted.map((layer) => layer.name);
  const shared = new Set(Object.entries(model.tied ?? {}).flat());
  const isTied = selection.ensureWeightTying && adapted.some(({ weight }) => shared.has(weight));
  // PEFT names both for every classifier, whatever its head is called.
  const isGuess = (name: string) => taskType === "SEQ_CLS" && CLASS_MODULES.includes(name);
  const ignored = [
    ...unknown.map((key) => `${quote(key)} is not a setting that is known here: ignored`),
    ...unmatched.map((target) => `target_modules has ${quote(target)}, which matches no layer: ignored`),
    ...unmatchedModules(
      model,
      selection.modulesToSave.filter((name) => !isGuess(name)),
    ).map((target) => `modules_to_save has ${quote(target)}, which matches no module: ignored`),
    ...unusedPatterns(config, names).map(
      ({ setting, pattern }) => `${setting} has ${quote(pattern)}, which matches no adapted layer: ignored`,
    ),
    ...(isTied ? ["ensure_weight_tying: the updates of tied layers are loaded one by one, and trained apart"] : []),
  ];
  return ignored.map((warning) => `${CONFIG_FILE}: ${warning}`);
}

function unexpected(
  key: string,
  candidates: readonly string[],
  refused: ReadonlyMap<Layer, string>,
  explain: boolean,
): string {
  for (const [layer, reason] of refused) if (key.startsWith(tensorKey(layer.name, ""))) return reason;
  const closest = explain ? nearest(key.slice(0, COMPARED), candidates) : undefined;
  return `${quote(key)} is no parameter of it${closest === undefined ? "" : ` (nearest: ${quote(closest)})`}`;
}

/**
 * Layers that the settings name one by one, and entries that name none. A pattern is not run: the tensors say which layers
 * it matched.
 */
function targets(
  { layers }: AdaptableModel,
  { selection }: AdapterConfig,
  copies: ReadonlyMap<string, Copy>,
): { layers: ReadonlySet<Layer>; unmatched: string[] } {
  const { targetModules, excludeModules, layersToTransform, layersPattern } = selection;
  if (targetModules === undefined || typeof targetModules === "string") return { layers: new Set(), unmatched: [] };
  const named = (layer: Layer, list: readonly string[]) => list.some((target) => endsIn(layer.name, target));
  const unmatched = targetModules.filter((target) => !layers.some((layer) => endsIn(layer.name, target)));
  if (typeof excludeModules === "string") return { layers: new Set(), unmatched };
  const blocks = layersToTransform === undefined ? [] : [layersToTransform].flat();
  const targeted = layers.filter(
    (layer) =>
      named(layer, targetModules) &&
      !named(layer, excludeModules ?? []) &&
      !copies.has(layer.weight) &&
      (blocks.length === 0 || blocks.includes(blockOf(layer.name, layersPattern) ?? -1)),
  );
  return { layers: new Set(targeted), unmatched };
}
