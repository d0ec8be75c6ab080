/**
 * Merging an adapter into the weights that it adapts, and taking it out again.
 *
 * Computed on the device in float32. What was there before is kept, so that unmerging restores every bit: adding an
 * update and subtracting it again would not.
 */
import { ConfigError, listed } from "../errors.ts";
import { Graph } from "../ir/graph.ts";
import { shapeOf } from "../ir/shape.ts";
import type { ParameterSpec } from "../nn/module.ts";
import type { Device, Tensor } from "../runtime/runtime.ts";
import { type Adapter, parameterValues } from "./adapter.ts";

/** Weights as they were before a merge, by name. */
export type Unmerged = ReadonlyMap<string, Tensor>;

/**
 * Replaces the weights of the adapted layers by merged ones.
 * @param weights the base model's parameters
 * @returns what {@link unmerge} needs
 * @throws ConfigError if the method cannot be merged, or a weight is not among `weights`
 */
export async function merge(device: Device, adapter: Adapter, weights: readonly ParameterSpec[]): Promise<Unmerged> {
  const { method, config } = adapter;
  if (method.merged === undefined) {
    throw new ConfigError({
      where: method.name,
      what: "cannot be merged into the weights",
      ...(method.unmergeable === undefined ? {} : { hint: method.unmergeable }),
    });
  }
  const specs = new Map(weights.map((spec) => [spec.name, spec]));
  // Before anything changes: a merge that fails halfway would leave a model that is neither.
  const missing = adapter.targets.map(({ layer }) => layer.weight).filter((name) => !specs.has(name));
  if (missing.length > 0) {
    throw new ConfigError({ where: "merge", what: "the model has no such parameters", got: listed(missing) });
  }
  const before = new Map<string, Tensor>();
  for (const target of adapter.targets) {
    const { layer } = target;
    const spec = specs.get(layer.weight)!;
    const graph = new Graph();
    const parameter = (name: string, shape: readonly number[]) =>
      graph.state(name, { dtype: "float32", shape: shapeOf(shape) });
    const weight = parameter(spec.name, spec.shape);
    graph.update(weight, method.merged({ layer, config, parameters: parameterValues({ parameter }, target), weight }));
    before.set(spec.name, await device.read(spec.name));
    const executable = await device.compile(graph);
    await executable.run({});
    await executable.dispose();
  }
  return before;
}

/** Puts back the weights that a merge replaced, bit for bit. */
export async function unmerge(device: Device, before: Unmerged): Promise<void> {
  for (const [name, tensor] of before) await device.write(name, tensor);
}
