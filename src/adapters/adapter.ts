/** A method put on the layers of a model, under a name: its parameters, and the hook that runs it while tracing. */
import { ConfigError } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import type { Layer, LayerHook, ParameterSpec, Tracing } from "../nn/module.ts";
import { streamOf } from "../random.ts";
import type { Method } from "./method.ts";
import { matchTargets, type TargetModules, targetNames } from "./targets.ts";

/** An adapter whose method's configuration has type C. */
export interface Adapter<C = unknown> {
  /** Default: "default", as in PEFT. */
  readonly name: string;
  readonly method: Method<C>;
  readonly config: C;
  /** Which layers were asked for, as PEFT writes it: a pattern for whole names, or names and endings of names. */
  readonly targetModules: string | readonly string[];
  /** Layers that it works on, in the order of the model. */
  readonly targets: readonly AdaptedLayer[];
  /** All of its parameters, by the names of their states. */
  readonly parameters: readonly ParameterSpec[];
}

export interface AdaptedLayer {
  readonly layer: Layer;
  /** Parameter name relative to the layer, to the name of its state. */
  readonly states: ReadonlyMap<string, ParameterSpec>;
}

export interface AttachOptions<C> {
  readonly name?: string;
  readonly targetModules?: TargetModules;
  readonly config?: Partial<C>;
}

/**
 * Puts a method on the layers that `targetModules` names (default `all-linear`).
 * @throws ConfigError if a target matches no layer, or the method cannot be put on one that does
 */
export function attach<C>(
  layers: readonly Layer[],
  method: Method<C>,
  { name = "default", targetModules = "all-linear", config = {} }: AttachOptions<C> = {},
): Adapter<C> {
  const matched = matchTargets(layers, targetModules);
  if (matched.length === 0) {
    throw new ConfigError({ where: "target_modules", what: "there is no layer to adapt", got: String(targetModules) });
  }
  const written = targetNames(layers, matched, targetModules);
  return adapterOn(matched, method, { name, targetModules: written, config: method.configure(config) });
}

/**
 * Puts a method on exactly these layers.
 * @throws ConfigError if the name cannot be part of a parameter's, or the method cannot be put on one of the layers
 */
export function adapterOn<C>(
  layers: readonly Layer[],
  method: Method<C>,
  { name, targetModules, config }: Pick<Adapter<C>, "name" | "targetModules" | "config">,
): Adapter<C> {
  if (name === "" || name.includes(".")) {
    throw new ConfigError({ where: "adapter", what: "not a name", got: name, expected: "a name without dots" });
  }
  const targets = layers.map((layer): AdaptedLayer => {
    const states = method
      .parameters(layer, config)
      .map((spec): [string, ParameterSpec] => [spec.name, { ...spec, name: stateName(layer.name, spec.name, name) }]);
    return { layer, states: new Map(states) };
  });
  const parameters = targets.flatMap(({ states }) => [...states.values()]);
  return { name, method, config, targetModules, targets, parameters };
}

/** `fc1` and `lora_A.weight` of adapter `default`: `fc1.lora_A.default.weight`, as PEFT names it in memory. */
function stateName(layer: string, parameter: string, adapter: string): string {
  const [module, ...rest] = parameter.split(".");
  return [layer, module, adapter, ...rest].join(".");
}

/**
 * The hook that runs adapters, one after the other, on the layers that they target.
 * @param seed int32 scalar that changes with every step; without it nothing is random, as outside training
 * @throws ConfigError if two adapters have the same name
 */
export function adapterHook(adapters: readonly Adapter[], seed?: Value): LayerHook {
  const names = adapters.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) {
    throw new ConfigError({
      where: "adapters",
      what: `two of them are called "${twice}" and would share their parameters`,
      hint: "give each adapter a name of its own",
    });
  }
  return (call) => {
    const working = adapters.flatMap((adapter) => {
      const target = adapter.targets.find(({ layer }) => layer.name === call.layer.name);
      return target === undefined ? [] : [{ adapter, target }];
    });
    return working.reduce<() => Value>(
      (previous, { adapter, target }, i) => {
        let output: Value | undefined;
        return () =>
          (output ??= adapter.method.forward({
            ...call,
            config: adapter.config,
            parameters: parameterValues(call.tracing, target),
            previous,
            first: i === 0,
            ...(seed === undefined ? {} : { random: { seed, stream: streamOf(`${adapter.name}/${call.layer.name}`) } }),
          }));
      },
      () => call.output(),
    )();
  };
}

/** Values of an adapted layer's parameters, by their relative names. */
export function parameterValues(tracing: Pick<Tracing, "parameter">, target: AdaptedLayer): Record<string, Value> {
  return Object.fromEntries([...target.states].map(([name, spec]) => [name, tracing.parameter(spec.name, spec.shape)]));
}
