/**
 * Merging adapters into the weights that they adapt, and taking them out again.
 *
 * Computed on the device in float32. What was there before is kept, so that unmerging restores every bit: adding an
 * update and subtracting it again would not. Two names of one weight (a head that shares the embedding's table) become two
 * weights where an adapter changes only one of them; PEFT changes both, and the merged model is another one.
 */
import { ConfigError, listed, NumericError } from "../errors.ts";
import { Graph, type Value } from "../ir/graph.ts";
import { shapeOf } from "../ir/shape.ts";
import type { ParameterSpec, Tracing } from "../nn/module.ts";
import type { Device, Tensor } from "../runtime/runtime.ts";
import { type AdaptedLayer, type Adapter, parameterValues, resolveParameter, sharedValues } from "./adapter.ts";
import { biasName } from "./copies.ts";

/** The weights of a model with adapters merged into them, made one by one when they are asked for. */
export interface MergedWeights {
  /** Of the merged model: the base's, and those that are no longer tied. */
  readonly parameters: readonly ParameterSpec[];
  /** Names that are still not stored, to the parameter whose values they have. */
  readonly tied: Readonly<Record<string, string>>;
  /** Names of the parameters that are not the base's own. */
  readonly changed: ReadonlySet<string>;
  /**
   * A merged parameter. The base stays as it is.
   * @throws NumericError if it is not finite
   */
  readonly read: (name: string) => Promise<Tensor>;
}

/** What {@link unmerge} needs, and what the model has become. */
export interface Merged extends Pick<MergedWeights, "parameters" | "tied" | "changed"> {
  /** Parameters as they were before, by name. */
  readonly before: ReadonlyMap<string, Tensor>;
  /** States that the base did not have. */
  readonly added: readonly string[];
}

/** How a parameter of the merged model is made. */
interface Recipe {
  /** The base's, or a copy that an adapter brings. */
  readonly from: string;
  /** What is done to it, in this order. */
  readonly updates: readonly Update[];
}

/**
 * @param parameter gives the values of the adapter's parameters
 * @param base the value before any update
 */
type Update = (value: Value, parameter: Tracing["parameter"], base: Value) => Value;

/**
 * The merged weights of a model, for a file or for {@link merge}. Updates of several adapters add up; copies that they bring
 * (`modules_to_save`, biases) take the place of the base's parameters.
 * @param adapters of one model
 * @throws ConfigError if a method cannot be merged, or two adapters bring copies of one parameter
 */
export function mergedWeights(device: Device, adapters: Adapter | readonly Adapter[]): MergedWeights {
  const all = [adapters].flat();
  const [first] = all;
  if (first === undefined) throw new ConfigError({ where: "merge", what: "there is no adapter to merge" });
  for (const { method } of all) {
    if (method.merged === undefined && (method.forward !== undefined || method.sequence !== undefined)) {
      throw new ConfigError({
        where: method.name,
        what: "cannot be merged into the weights",
        ...(method.unmergeable === undefined ? {} : { hint: method.unmergeable }),
      });
    }
  }
  const { parameters, tied: shared = {} } = first.model;
  const specs = new Map(parameters.map((spec) => [spec.name, spec]));
  const stateOf = resolveParameter(all, shared);
  const updates = updatesOf(all, new Set([...specs.keys(), ...Object.keys(shared)]));
  const recipe = (name: string): Recipe => ({ from: stateOf(name), updates: updates.get(name) ?? [] });
  const tied = Object.entries(shared).filter(([name, source]) => isSame(recipe(name), recipe(source)));
  const untied = Object.entries(shared).flatMap(([name, source]) =>
    tied.some(([other]) => other === name) ? [] : [{ ...specs.get(source)!, name }],
  );
  const merged = [...parameters, ...untied];
  const isChanged = ({ name }: ParameterSpec) => {
    const { from, updates } = recipe(name);
    return from !== name || updates.length > 0;
  };
  return {
    parameters: merged,
    tied: Object.fromEntries(tied),
    changed: new Set(merged.filter(isChanged).map(({ name }) => name)),
    read: (name) => made(device, name, recipe(name)),
  };
}

/**
 * Replaces the weights of the base by merged ones. Graphs that were compiled before may hold the old ones as constants, and
 * read by old names what is no longer tied: compile them again, with the `tied` of the result.
 * @throws ConfigError as {@link mergedWeights}, NumericError if a merged weight is not finite; the base is then as it was
 */
export async function merge(device: Device, adapters: Adapter | readonly Adapter[]): Promise<Merged> {
  const { parameters, tied, changed, read } = mergedWeights(device, adapters);
  const own = new Set([adapters].flat()[0]!.model.parameters.map(({ name }) => name));
  // What is new is made of weights that the others still have.
  const added = [...changed].filter((name) => !own.has(name));
  const before = new Map<string, Tensor>();
  const merged: Merged = { parameters, tied, changed, before, added };
  const done: string[] = [];
  try {
    for (const name of added) {
      await device.write(name, await read(name));
      done.push(name);
    }
    for (const name of changed) {
      if (!own.has(name)) continue;
      const tensor = await read(name);
      before.set(name, await device.read(name));
      await device.write(name, tensor);
    }
  } catch (error) {
    await unmerge(device, { before, added: done });
    throw error;
  }
  return merged;
}

/** Puts back the weights that a merge replaced, bit for bit, and frees those that it added. */
export async function unmerge(device: Device, { before, added }: Pick<Merged, "before" | "added">): Promise<void> {
  for (const [name, tensor] of before) await device.write(name, tensor);
  for (const name of added) await device.free(name);
}

/** By the names of parameters. @throws ConfigError if the model lacks one that would be updated */
function updatesOf(adapters: readonly Adapter[], names: ReadonlySet<string>): Map<string, Update[]> {
  const updates = new Map<string, Update[]>();
  const missing: string[] = [];
  const add = (name: string, update: Update) => {
    if (names.has(name)) updates.set(name, [...(updates.get(name) ?? []), update]);
    else missing.push(name);
  };
  for (const adapter of adapters) {
    const { method, targets } = adapter;
    for (const target of targets) {
      const { layer, config } = target;
      const values = (parameter: Tracing["parameter"]) => ({
        layer,
        config,
        parameters: parameterValues({ parameter }, target),
        shared: sharedValues({ parameter }, adapter),
      });
      add(layer.weight, (weight, parameter, base) => method.merged!({ ...values(parameter), weight, base }));
      const bias = biasName(layer);
      if (mergesBias(adapter, target, names.has(bias))) {
        add(bias, (value, parameter) => method.mergedBias!({ ...values(parameter), bias: value }) ?? value);
      }
    }
  }
  if (missing.length > 0) {
    throw new ConfigError({ where: "merge", what: "the model has no such parameters", got: listed(missing) });
  }
  return updates;
}

/** Whether merging changes the layer's bias: asked of the method on a graph that nobody runs. @throws ConfigError */
function mergesBias(adapter: Adapter, target: AdaptedLayer, hasBias: boolean): boolean {
  const { method } = adapter;
  if (method.mergedBias === undefined) return false;
  const graph = new Graph();
  const { layer, config } = target;
  const parameter = statesOf(graph);
  const bias = hasBias ? parameter(biasName(layer), [layer.outFeatures]) : undefined;
  const parameters = parameterValues({ parameter }, target);
  return (
    method.mergedBias({ layer, config, parameters, shared: sharedValues({ parameter }, adapter), bias }) !== undefined
  );
}

function statesOf(graph: Graph): Tracing["parameter"] {
  return (name, shape) => graph.state(name, { dtype: "float32", shape: shapeOf(shape) });
}

function isSame(a: Recipe, b: Recipe): boolean {
  return a.from === b.from && a.updates.length === 0 && b.updates.length === 0;
}

async function made(device: Device, name: string, { from, updates }: Recipe): Promise<Tensor> {
  const base = await device.read(from);
  const tensor = updates.length === 0 ? base : await updated(device, base, updates);
  const at = (tensor.data as Float32Array).findIndex((value) => !Number.isFinite(value));
  if (at >= 0) {
    throw new NumericError({
      where: "merge",
      what: `${name} would not be finite: element ${at}`,
      got: Number(tensor.data[at]),
      hint: "an adapter, or the base, is broken",
    });
  }
  return tensor;
}

async function updated(device: Device, base: Tensor, updates: readonly Update[]): Promise<Tensor> {
  const graph = new Graph();
  const start = graph.feed("base", { dtype: "float32", shape: shapeOf(base.shape) });
  graph.output(
    "merged",
    updates.reduce((value, update) => update(value, statesOf(graph), start), start),
  );
  const executable = await device.compile(graph);
  try {
    return (await executable.run({ base })).merged!;
  } finally {
    await executable.dispose();
  }
}
