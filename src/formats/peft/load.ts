/** Reads an adapter that PEFT wrote, or `save.ts`, onto a device. */
import { access } from "node:fs/promises";
import { join } from "node:path";
import { type Adapter, adapterOn } from "../../adapters/adapter.ts";
import { endsIn } from "../../adapters/targets.ts";
import { FormatError, listed, LowrankError } from "../../errors.ts";
import { nearest } from "../../nearest.ts";
import type { Layer, ParameterSpec } from "../../nn/module.ts";
import type { Device } from "../../runtime/runtime.ts";
import { isFloatDtype } from "../safetensors/dtype.ts";
import { openSafetensors, type SafetensorsFile } from "../safetensors/reader.ts";
import { quote } from "../safetensors/strict-json.ts";
import { type AdapterConfig, CONFIG_FILE, readConfig } from "./config.ts";
import { readJsonObject } from "./json-object.ts";
import { WEIGHTS_FILE } from "./save.ts";
import { tensorKey } from "./tensor-keys.ts";

/** Problems for which the nearest name is looked up: those that a message shows. */
const EXPLAINED = 10;
/** Characters of a name that are compared: more than any real one has. */
const COMPARED = 200;

export interface LoadAdapterOptions {
  /** Default: "default". */
  readonly name?: string;
  /** Settings of the method that the file does not hold, such as LoRA's `form`; they win over those that it does. */
  readonly config?: Readonly<Record<string, unknown>>;
}

export interface LoadedAdapter {
  readonly adapter: Adapter;
  /** The model that the adapter says it is for. */
  readonly baseModelNameOrPath?: string;
  /** What was ignored, in sentences for a person. */
  readonly warnings: readonly string[];
}

/**
 * Loads an adapter for `layers`. It is put on the layers that the file has tensors for; float16, bfloat16 and float64
 * become float32.
 *
 * @throws FormatError listing every setting that cannot be honoured (nothing that changes the result is skipped), or every
 *   tensor that is unknown, missing or does not fit
 */
export async function loadAdapter(
  device: Device,
  layers: readonly Layer[],
  dir: string,
  { name = "default", config: more = {} }: LoadAdapterOptions = {},
): Promise<LoadedAdapter> {
  const settings = readConfig(await readJsonObject(join(dir, CONFIG_FILE)), more);
  const weights = await openWeights(dir);
  const written: string[] = [];
  try {
    const { adapted, warnings } = fit(weights, layers, settings);
    const { method } = settings.format;
    const { targetModules, config } = settings;
    const said = targetModules !== undefined && targetModules.length > 0 && targetModules !== "all-linear";
    const adapter = adapterOn(adapted, method, {
      name,
      targetModules: said ? targetModules : adapted.map((layer) => layer.name),
      config,
    });
    for (const { layer, states } of adapter.targets) {
      for (const [parameter, spec] of states) {
        const data = await weights.readFloat32(tensorKey(layer.name, parameter));
        await device.write(spec.name, { dtype: "float32", shape: spec.shape, data });
        written.push(spec.name);
      }
    }
    const base = settings.baseModelNameOrPath;
    return { adapter, warnings, ...(base === undefined ? {} : { baseModelNameOrPath: base }) };
  } catch (error) {
    for (const state of written) await device.free(state);
    throw error;
  } finally {
    await weights.close();
  }
}

async function openWeights(dir: string): Promise<SafetensorsFile> {
  const path = join(dir, WEIGHTS_FILE);
  try {
    return await openSafetensors(path);
  } catch (error) {
    const pickle = join(dir, "adapter_model.bin");
    const isPickle = await access(path).then(
      () => false,
      () =>
        access(pickle).then(
          () => true,
          () => false,
        ),
    );
    if (!isPickle) throw error;
    throw new FormatError({
      where: pickle,
      what: "is a Python pickle, which can run code when it is read: it is not loaded",
      expected: WEIGHTS_FILE,
      hint: "save the adapter again with a version of PEFT that writes safetensors (0.6 or later)",
    });
  }
}

interface Expected {
  readonly layer: Layer;
  readonly spec: ParameterSpec;
}

/** The layers that the tensors are for. @throws FormatError listing everything that does not fit */
function fit(
  weights: SafetensorsFile,
  layers: readonly Layer[],
  settings: AdapterConfig,
): { adapted: Layer[]; warnings: string[] } {
  const expected = new Map<string, Expected>();
  const refused = new Map<Layer, string>();
  for (const layer of layers) {
    try {
      for (const spec of settings.format.method.parameters(layer, settings.config)) {
        expected.set(tensorKey(layer.name, spec.name), { layer, spec });
      }
    } catch (error) {
      if (!(error instanceof LowrankError)) throw error;
      refused.set(layer, error.message);
    }
  }
  const problems: string[] = [];
  const found = new Set<Layer>();
  for (const [key, { dtype, shape }] of weights.tensors) {
    const match = expected.get(key);
    if (match === undefined) {
      problems.push(unexpected(key, [...expected.keys()], refused, problems.length < EXPLAINED));
      continue;
    }
    found.add(match.layer);
    const wanted = match.spec.shape;
    if (!isFloatDtype(dtype) || shape.join() !== wanted.join()) {
      problems.push(`${quote(key)} is ${dtype}[${shape.join(", ")}] and not F32[${wanted.join(", ")}]`);
    }
  }
  if (weights.tensors.size === 0) problems.push("it has no tensors");
  const { layers: targeted, unmatched } = targets(layers, settings);
  for (const [key, { layer }] of expected) {
    if ((found.has(layer) || targeted.has(layer)) && !weights.tensors.has(key))
      problems.push(`${quote(key)} is missing`);
  }
  if (problems.length > 0) {
    throw new FormatError({
      where: weights.path,
      what: `does not fit the model: ${listed(problems)}`,
      hint: `check that the adapter was made for this model${settings.baseModelNameOrPath === undefined ? "" : `: it says ${quote(settings.baseModelNameOrPath)}`}`,
    });
  }
  const warnings = [
    ...settings.unknown.map((key) => `${CONFIG_FILE}: ${quote(key)} is not a setting that is known here: ignored`),
    ...unmatched.map(
      (target) => `${CONFIG_FILE}: target_modules has ${quote(target)}, which matches no layer: ignored`,
    ),
  ];
  return { adapted: layers.filter((layer) => found.has(layer)), warnings };
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
 * Layers that the settings name one by one, and entries that name none. A pattern is not run: it is Python's, a stranger
 * wrote it, and the tensors say which layers it matched.
 */
function targets(
  layers: readonly Layer[],
  { targetModules, excludeModules }: AdapterConfig,
): { layers: ReadonlySet<Layer>; unmatched: string[] } {
  if (targetModules === undefined || typeof targetModules === "string") return { layers: new Set(), unmatched: [] };
  const named = (layer: Layer, list: readonly string[]) => list.some((target) => endsIn(layer.name, target));
  const unmatched = targetModules.filter((target) => !layers.some((layer) => endsIn(layer.name, target)));
  if (typeof excludeModules === "string") return { layers: new Set(), unmatched };
  const targeted = layers.filter((layer) => named(layer, targetModules) && !named(layer, excludeModules ?? []));
  return { layers: new Set(targeted), unmatched };
}
