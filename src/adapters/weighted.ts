/**
 * Adapters mixed into one: ΔW = Σ wᵢ ΔWᵢ, as PEFT's `add_weighted_adapter` by the same names.
 *
 * Where PEFT differs, it is off: its `linear` adds up A's and B's apart, which brings in products of one adapter's B with
 * another's A; adapters with `use_rslora` are scaled by √rank once too often. Here every combination is a combination of the
 * updates; `linear` is exact, at the rank that this takes.
 */
import { ConfigError, listed } from "../errors.ts";
import type { Layer } from "../nn/module.ts";
import type { Device } from "../runtime/runtime.ts";
import { type AdaptedLayer, type Adapter, adapterOn, type Selection } from "./adapter.ts";
import { copiedBiases, copiedModules, type Copy, type CopyOptions } from "./copies.ts";
import { type Factors, factorize } from "./factorize.ts";
import { lora, type LoraConfig, scaling } from "./lora.ts";
import { INITIAL_A, INITIAL_B } from "./low-rank.ts";
import { configure } from "./settings.ts";
import { shortNames } from "./targets.ts";

/**
 * `cat`: the factors of all adapters side by side; exact, of rank Σ r. `linear`: the same product in the fewest columns that
 * it can be written in; exact to float32. `svd`: the best approximation of rank `svdRank`.
 */
export type CombinationType = (typeof COMBINATIONS)[number];

const COMBINATIONS = ["linear", "cat", "svd"] as const;

export interface WeightedAdapterOptions {
  /** Default: `svd`, as in PEFT. */
  readonly combinationType?: CombinationType;
  /** For `svd`. Default: the largest rank of the adapters. */
  readonly svdRank?: number;
}

/** Factors of an update: columns of B, rows of A, and B's bias. */
interface Update {
  readonly B: readonly Float64Array[];
  readonly A: readonly Float64Array[];
  readonly bias: Float64Array | undefined;
}

/** Singular values below this part of the largest are lost in float32. */
const NEGLIGIBLE = 2 ** -26;

/**
 * A new adapter on the device, whose r and alpha are equal, so that its scaling is 1. Copies of parameters are mixed too:
 * base + Σ wᵢ (copyᵢ − base); PEFT refuses them.
 * @param adapters of one model, LoRA
 * @param weights one for each, of any sign; 1 is the adapter as it is
 * @param options.name of the new adapter
 * @throws ConfigError if there is nothing to mix, a weight is missing, or an adapter is not LoRA
 */
export async function addWeightedAdapter(
  device: Device,
  adapters: readonly Adapter[],
  weights: readonly number[],
  { name, combinationType: combination = "svd", svdRank }: WeightedAdapterOptions & { readonly name: string },
): Promise<Adapter<LoraConfig>> {
  const sources = checked(adapters, weights, combination, svdRank);
  const { model } = sources[0]!;
  const layers = model.layers.filter((layer) => sources.some((source) => targetOf(source, layer.name) !== undefined));
  const parts = layers.map((layer) =>
    sources.flatMap((source, i) => {
      const target = targetOf(source, layer.name);
      return target === undefined ? [] : [{ target, weight: weights[i]! }];
    }),
  );
  const ranks = parts.map((part) => part.reduce((sum, { target }) => sum + rankOf(target), 0));
  const largest = Math.max(...sources.flatMap(({ targets }) => targets.map(({ config }) => config.r)));
  const wanted = combination === "svd" ? (svdRank ?? largest) : Infinity;

  const updates: Update[] = [];
  for (const part of parts) {
    const update = await stacked(device, part);
    updates.push(combination === "cat" ? update : compressed(update, wanted));
  }
  const r =
    combination === "cat"
      ? Math.max(...ranks)
      : combination === "svd"
        ? wanted
        : Math.max(1, ...updates.map(({ A }) => A.length));
  const config = configure(lora, { r, alpha: r, loraBias: updates.some(({ bias }) => bias !== undefined) });
  const selection = mixedSelection(sources);
  const copies = mixedCopies(sources, layers, { ...selection, name });
  const adapter = adapterOn(model, layers, lora, { ...selection, name, config, copies });
  for (const [i, target] of adapter.targets.entries()) await writeUpdate(device, target, updates[i]!);
  await mixCopies(device, adapter, sources, weights);
  return adapter;
}

function checked(
  adapters: readonly Adapter[],
  weights: readonly number[],
  combination: CombinationType,
  svdRank: number | undefined,
): readonly Adapter<LoraConfig>[] {
  const where = "add_weighted_adapter";
  if (adapters.length === 0) throw new ConfigError({ where, what: "there are no adapters to mix" });
  if (weights.length !== adapters.length || !weights.every(Number.isFinite)) {
    throw new ConfigError({
      where,
      what: "each adapter needs a weight",
      got: listed(weights.map(String)),
      expected: `${adapters.length} finite numbers`,
    });
  }
  if (!COMBINATIONS.includes(combination)) {
    throw new ConfigError({ where, what: "no such combination", got: combination, expected: COMBINATIONS.join(", ") });
  }
  if (svdRank !== undefined && !(Number.isInteger(svdRank) && svdRank >= 1)) {
    throw new ConfigError({ where, what: "svd_rank is no rank", got: svdRank, expected: "an integer >= 1" });
  }
  return adapters.map((adapter) => {
    if (isLora(adapter)) return adapter;
    const got = `"${adapter.name}" is ${adapter.method.name}`;
    throw new ConfigError({
      where,
      what: "only LoRA adapters can be mixed: their updates add up",
      got,
      hint: "merge it into the base instead (merge_and_unload, or `lowrank export`)",
    });
  });
}

/** However it is trained: LoRA-FA, too. */
function isLora(adapter: Adapter): adapter is Adapter<LoraConfig> {
  const { name, file } = adapter.method;
  const hasItsForward = (adapter.method as object as typeof lora).forward === lora.forward;
  return name === lora.name || (file?.as === lora.name && hasItsForward);
}

/** Columns of its update: what a start took from the base has as many again. */
function rankOf({ config: { r }, states }: AdaptedLayer<LoraConfig>): number {
  return states.has(INITIAL_A) ? 2 * r : r;
}

function targetOf({ targets }: Adapter<LoraConfig>, layer: string): AdaptedLayer<LoraConfig> | undefined {
  return targets.find((target) => target.layer.name === layer);
}

/** All factors of a layer side by side, those of A scaled: B A is the sum. */
async function stacked(
  device: Device,
  parts: readonly { readonly target: AdaptedLayer<LoraConfig>; readonly weight: number }[],
): Promise<Update> {
  const [B, A]: [Float64Array[], Float64Array[]] = [[], []];
  let bias: Float64Array | undefined;
  for (const { target, weight } of parts) {
    const { r } = target.config;
    const factor = weight * scaling(target.config);
    const values = await factorsOf(device, target);
    A.push(...rowsOf(values.A, r).map((row) => row.map((value) => value * factor)));
    B.push(...columnsOf(values.B, r));
    if (values.initial !== undefined) {
      A.push(...rowsOf(values.initial.A, r).map((row) => row.map((value) => -value * factor)));
      B.push(...columnsOf(values.initial.B, r));
    }
    if (values.bias === undefined) continue;
    bias ??= new Float64Array(target.layer.outFeatures);
    for (const [i, value] of values.bias.entries()) bias[i]! += factor * value;
  }
  return { B, A, bias };
}

async function factorsOf(
  device: Device,
  { states }: AdaptedLayer,
): Promise<Record<"A" | "B", Float32Array> & { bias?: Float32Array; initial?: Record<"A" | "B", Float32Array> }> {
  const read = async (...names: string[]) => {
    const spec = names.map((name) => states.get(name)).find((found) => found !== undefined);
    return spec === undefined ? undefined : ((await device.read(spec.name)).data as Float32Array);
  };
  const bias = await read("lora_B.bias");
  const [A0, B0] = [await read(INITIAL_A), await read(INITIAL_B)];
  return {
    ...(A0 === undefined || B0 === undefined ? {} : { initial: { A: A0, B: B0 } }),
    A: (await read("lora_A.weight", "lora_embedding_A"))!,
    B: (await read("lora_B.weight", "lora_embedding_B"))!,
    ...(bias === undefined ? {} : { bias }),
  };
}

function compressed({ B, A, bias }: Update, rank: number): Update {
  const factors: Factors = factorize(B, A, rank);
  const [first = 0] = factors.singularValues;
  const kept = factors.singularValues.slice(0, factors.A.length).filter((value) => value > NEGLIGIBLE * first).length;
  return { B: factors.B.slice(0, kept), A: factors.A.slice(0, kept), bias };
}

/** [r, n] as its rows. */
function rowsOf(data: Float32Array, r: number): Float64Array[] {
  const n = data.length / r;
  return Array.from({ length: r }, (_, i) => Float64Array.from(data.subarray(i * n, (i + 1) * n)));
}

/** [n, r] as its columns. */
function columnsOf(data: Float32Array, r: number): Float64Array[] {
  return Array.from({ length: r }, (_, j) =>
    Float64Array.from({ length: data.length / r }, (_row, i) => data[i * r + j]!),
  );
}

/** Puts factors into the states of a layer; rows and columns that there are none for are zero. */
async function writeUpdate(
  device: Device,
  { states }: AdaptedLayer<LoraConfig>,
  { A, B, bias }: Update,
): Promise<void> {
  for (const [parameter, { name, shape }] of states) {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
    if (parameter === "lora_B.bias") {
      if (bias !== undefined) data.set(bias);
    } else if (parameter.includes("_A")) {
      for (const [i, row] of A.entries()) data.set(row, i * row.length);
    } else {
      const r = shape[1]!;
      for (const [j, column] of B.entries()) for (const [i, value] of column.entries()) data[i * r + j] = value;
    }
    await device.write(name, { dtype: "float32", shape, data });
  }
}

/** Settings that mean the layers of all adapters together. */
function mixedSelection(sources: readonly Adapter<LoraConfig>[]): Selection {
  const { layers } = sources[0]!.model;
  const names = new Set(sources.flatMap(({ targets }) => targets.map(({ layer }) => layer.name)));
  const biases = new Set(sources.map(({ bias }) => bias));
  return {
    targetModules: shortNames(
      layers,
      layers.filter(({ name }) => names.has(name)),
    ),
    modulesToSave: [...new Set(sources.flatMap(({ modulesToSave }) => modulesToSave))],
    bias: biases.has("all") ? "all" : biases.has("lora_only") ? "lora_only" : "none",
    ensureWeightTying: sources.some(({ ensureWeightTying }) => ensureWeightTying),
  };
}

function mixedCopies(
  sources: readonly Adapter<LoraConfig>[],
  targets: readonly Layer[],
  options: CopyOptions,
): Map<string, Copy> {
  const { model } = sources[0]!;
  const modules = copiedModules(model, options);
  const both = targets.filter(({ weight }) => modules.has(weight)).map((layer) => `"${layer.name}"`);
  if (both.length > 0) {
    throw new ConfigError({
      where: "add_weighted_adapter",
      what: `one adapter has an update of ${listed(both)} and another a copy (modules_to_save)`,
      hint: "merge one of them into the base first",
    });
  }
  const copies = new Map([...modules, ...copiedBiases(model, targets, options, modules)]);
  // Tables that came with an adapter.
  for (const [parameter, copy] of sources.flatMap((source) => [...source.copies])) {
    if (!copies.has(parameter)) copies.set(parameter, { ...copy, name: `${parameter}.${options.name}` });
  }
  return copies;
}

/** base + Σ wᵢ (copyᵢ − base) */
async function mixCopies(
  device: Device,
  adapter: Adapter,
  sources: readonly Adapter[],
  weights: readonly number[],
): Promise<void> {
  const written = new Set<string>();
  for (const [parameter, { name, from, shape }] of adapter.copies) {
    if (written.has(name)) continue;
    written.add(name);
    const base = (await device.read(from)).data as Float32Array;
    const mixed = Float64Array.from(base);
    for (const [i, source] of sources.entries()) {
      const copy = source.copies.get(parameter);
      if (copy === undefined) continue;
      const data = (await device.read(copy.name)).data as Float32Array;
      for (const [j, value] of data.entries()) mixed[j]! += weights[i]! * (value - base[j]!);
    }
    await device.write(name, { dtype: "float32", shape, data: Float32Array.from(mixed) });
  }
}
