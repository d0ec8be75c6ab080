/** What tuning methods add to a training step: penalties, gradients of their own, and what follows the optimizer. */
import { type Adapter, type AdaptedLayer, afterStateName, parameterValues, sharedValues } from "../adapters/adapter.ts";
import type { Method } from "../adapters/method.ts";
import { ConfigError, listed } from "../errors.ts";
import { Graph, type Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { shapeOf } from "../ir/shape.ts";
import type { Layer, ParameterSpec, Tracing } from "../nn/module.ts";
import type { Device, Results } from "../runtime/runtime.ts";

interface NamedShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/** The sum of the methods' penalties, a scalar; undefined if none has one. */
export function penaltyOf(
  adapters: readonly Adapter[],
  tracing: Pick<Tracing, "graph" | "parameter">,
): Value | undefined {
  const penalties = adapters.flatMap((adapter) => {
    const { method, config, targets } = adapter;
    if (method.penalty === undefined) return [];
    return [
      method.penalty({
        graph: tracing.graph,
        config,
        targets: targets.map((target) => ({
          layer: target.layer,
          config: target.config,
          parameters: parameterValues(tracing, target),
        })),
        shared: sharedValues(tracing, adapter),
      }),
    ];
  });
  return penalties.length === 0 ? undefined : penalties.reduce(add);
}

/** A parameter of an adapter: where it is, and what it is called there. */
export interface Place {
  readonly adapter: Adapter;
  /** Undefined: a parameter of the model as a whole. */
  readonly target: AdaptedLayer | undefined;
  readonly parameter: string;
  /** A copy of a parameter of the base, which has this name there. */
  readonly isCopy?: true;
}

/** Parameters of adapters by the names of their states. */
export function placesOf(adapters: readonly Adapter[]): ReadonlyMap<string, Place> {
  return new Map<string, Place>(
    adapters.flatMap((adapter): (readonly [string, Place])[] => [
      ...adapter.targets.flatMap((target) =>
        [...target.states].map(([parameter, spec]) => [spec.name, { adapter, target, parameter }] as const),
      ),
      ...[...adapter.shared].map(
        ([parameter, spec]) => [spec.name, { adapter, target: undefined, parameter }] as const,
      ),
      ...[...adapter.copies].map(
        ([parameter, copy]) => [copy.name, { adapter, target: undefined, parameter, isCopy: true }] as const,
      ),
    ]),
  );
}

/** The gradient that the optimizer is given for the parameter at a place. */
export function gradientAt(
  place: Place | undefined,
  gradient: Value,
  tracing: Pick<Tracing, "graph" | "parameter">,
): Value {
  const method = place?.adapter.method;
  if (place === undefined || place.isCopy === true || method?.gradient === undefined) return gradient;
  const { adapter, target, parameter } = place;
  return method.gradient({
    layer: target?.layer,
    config: target?.config ?? adapter.config,
    parameter,
    gradient,
    parameters: target === undefined ? sharedValues(tracing, adapter) : parameterValues(tracing, target),
  });
}

/** Learning rate of the parameter at a place, as a multiple of the run's. */
export function rateAt(
  place: Place | undefined,
  { shape }: Pick<ParameterSpec, "shape">,
  learningRate: number,
): number {
  if (place === undefined) return 1;
  const { adapter, target, parameter: name } = place;
  const rate = adapter.method.rate?.({ name, shape }, target?.config ?? adapter.config);
  if (rate === undefined) return 1;
  return "times" in rate ? rate.times : learningRate === 0 ? 0 : rate.fixed / learningRate;
}

/** @throws ConfigError if the settings of a method do not go with a run of this many steps */
export function checkRun(adapters: readonly Adapter[], totalSteps: number): void {
  for (const { method, config } of adapters) {
    const wrong = method.afterStep?.wrong?.(config, totalSteps) ?? [];
    if (wrong.length > 0) throw new ConfigError({ where: method.name, what: listed(wrong) });
  }
}

/** What runs after the optimizer. */
export interface AfterGraph {
  readonly graph: Graph;
  /** Its states: zeros before the first step. */
  readonly states: readonly NamedShape[];
}

/** @param gradientOf the gradient that the optimizer was given, by the name of the parameter's state */
export function afterGraph(
  adapters: readonly Adapter[],
  gradientOf: (graph: Graph, state: string) => Value | undefined,
): AfterGraph | undefined {
  const graph = new Graph();
  const parameter: Tracing["parameter"] = (name, shape) =>
    graph.state(name, { dtype: "float32", shape: shapeOf(shape) });
  const states: NamedShape[] = [];
  for (const { name: adapter, method, targets } of adapters) {
    const { afterStep } = method;
    if (afterStep === undefined) continue;
    for (const target of targets) {
      const { layer, config } = target;
      const own = afterStep.states(
        [...target.states].map(([name, spec]) => ({ ...spec, name })),
        config,
      );
      const values = Object.fromEntries(
        own.map(({ name, shape }) => {
          const state = afterStateName(adapter, layer, name);
          states.push({ name: state, shape });
          return [name, parameter(state, shape)];
        }),
      );
      const gradients = [...target.states].flatMap(([name, spec]) => {
        const gradient = gradientOf(graph, spec.name);
        return gradient === undefined ? [] : [[name, gradient] as const];
      });
      const next = afterStep.update({
        layer,
        config,
        parameters: parameterValues({ parameter }, target),
        gradients: Object.fromEntries(gradients),
        states: values,
      });
      for (const [name, value] of Object.entries(next.states)) graph.update(values[name]!, value);
      if (next.output !== undefined) graph.output(outputName(adapter, layer), next.output);
    }
  }
  return states.length === 0 && graph.outputs.size === 0 ? undefined : { graph, states };
}

/** What the hosts of the methods make of a step. @param step that was taken, from 1 */
export async function afterOnHost(
  device: Device,
  adapters: readonly Adapter[],
  outputs: Results,
  { step, totalSteps }: { readonly step: number; readonly totalSteps: number },
): Promise<void> {
  for (const { name: adapter, method, config, targets } of adapters) {
    const stateOf = ({ layer, states }: AdaptedLayer, name: string): NamedShape =>
      states.get(name) ?? {
        name: afterStateName(adapter, layer, name),
        shape: shapeOfState(method, states, config, name),
      };
    await method.afterStep?.host?.({
      config,
      step,
      totalSteps,
      targets: targets.map((target) => ({ target, output: outputs[outputName(adapter, target.layer)] })),
      read: async (target, name) =>
        Float32Array.from((await device.read(stateOf(target, name).name)).data as Float32Array),
      async write(target, name, data) {
        const { name: state, shape } = stateOf(target, name);
        await device.write(state, { dtype: "float32", shape, data });
      },
    });
  }
}

function shapeOfState(
  method: Method<object>,
  states: AdaptedLayer["states"],
  config: object,
  name: string,
): readonly number[] {
  const own = method.afterStep!.states(
    [...states].map(([parameter, spec]) => ({ ...spec, name: parameter })),
    config,
  );
  return own.find((state) => state.name === name)?.shape ?? [];
}

function outputName(adapter: string, layer: Layer): string {
  return `after/${adapter}/${layer.name}`;
}
