/** A method put on the layers of a model, under a name: its parameters, and the hook that runs it while tracing. */
import { ConfigError, listed } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { scalar } from "../ir/ops/constant.ts";
import { greater } from "../ir/ops/greater.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { where } from "../ir/ops/where.ts";
import type { Layer, LayerCall, LayerHook, ParameterSpec, Tracing } from "../nn/module.ts";
import { streamOf } from "../random.ts";
import {
  type AdaptableModel,
  BIAS_MODES,
  type BiasMode,
  checkModules,
  copiedBiases,
  copiedModules,
  type Copy,
} from "./copies.ts";
import type { Method, MethodParameter } from "./method.ts";
import { configOn, unusedPatterns } from "./patterns.ts";
import { configure } from "./settings.ts";
import {
  matchModules,
  matchTargets,
  shortNames,
  type TargetModules,
  targetNames,
  type TargetOptions,
} from "./targets.ts";

/** What was asked for, as PEFT writes it. Names are PEFT's, in camelCase. */
export interface Selection {
  /** A pattern for whole names, or names and endings of names. */
  readonly targetModules: string | readonly string[];
  readonly excludeModules?: string | readonly string[];
  readonly layersToTransform?: number | readonly number[];
  readonly layersPattern?: string | readonly string[];
  readonly modulesToSave: readonly string[];
  readonly bias: BiasMode;
  readonly ensureWeightTying: boolean;
}

/** An adapter whose method's configuration has type C. */
export interface Adapter<C extends object = object> extends Selection {
  /** Default: "default", as in PEFT. */
  readonly name: string;
  readonly method: Method<C>;
  readonly config: C;
  /** The model that it is for. */
  readonly model: AdaptableModel;
  /** Layers that it works on, in the order of the model. */
  readonly targets: readonly AdaptedLayer<C>[];
  /** Parameters of the model as a whole: relative name to state. */
  readonly shared: ReadonlyMap<string, MethodParameter>;
  /** Its own versions of parameters of the base, by the names of those; see {@link resolveParameter}. */
  readonly copies: ReadonlyMap<string, Copy>;
  /** All that is trained, copies included, by the names of their states. */
  readonly parameters: readonly ParameterSpec[];
}

export interface AdaptedLayer<C extends object = object> {
  readonly layer: Layer;
  /** The method's configuration on this layer. */
  readonly config: C;
  /** Parameter name relative to the layer, to the name of its state. */
  readonly states: ReadonlyMap<string, MethodParameter>;
}

export interface AttachOptions<C extends object> extends TargetOptions {
  readonly name?: string;
  /** Default: the model's own, or `all-linear`. */
  readonly targetModules?: TargetModules;
  readonly config?: Partial<C>;
  /**
   * Modules of which the adapter trains a copy: endings of their names, such as `lm_head` or `embed_tokens`, or of blocks.
   * As in PEFT an ending need not begin after a dot: `norm` is every norm. They are never targets. Default: none.
   */
  readonly modulesToSave?: readonly string[];
  /** Biases of which the adapter trains a copy. Default: `none`. */
  readonly bias?: BiasMode;
  /** A head that shares the embedding's table goes on sharing it when one of them is copied. Default: false, as in PEFT. */
  readonly ensureWeightTying?: boolean;
}

/**
 * Puts a method on layers of a model. The parameters get their values from `initializeAdapter`, or from a file.
 * @throws ConfigError if a target matches no layer, a module to save no module, a pattern no target, or the method cannot
 *   be put on one of them
 */
export function attach<C extends object>(
  model: AdaptableModel,
  method: Method<C>,
  options: AttachOptions<C> = {},
): Adapter<C> {
  const { name = "default", config = {}, bias = "none", ensureWeightTying = false } = options;
  const { excludeModules, layersToTransform, layersPattern } = options;
  const configured = configure(method, config as Partial<C>);
  const modulesToSave = [
    ...new Set([...(options.modulesToSave ?? []), ...(method.modulesToSave?.(model, configured) ?? [])]),
  ];
  const targetModules =
    options.targetModules ?? method.defaultTargets?.(model, configured) ?? model.defaultTargets ?? "all-linear";
  if (!BIAS_MODES.includes(bias)) {
    throw new ConfigError({ where: "bias", what: "no such setting", got: bias, expected: BIAS_MODES.join(", ") });
  }
  checkModules(model, modulesToSave);
  const modules = copiedModules(model, { name, bias, modulesToSave, ensureWeightTying });
  if (method.on === "model" && options.targetModules !== undefined) {
    throw new ConfigError({
      where: "target_modules",
      what: `${method.name} is put on the model as a whole, and has no targets`,
      got: String(options.targetModules),
      hint: "leave the setting out",
    });
  }
  if (method.on === "model" || method.on === "modules") {
    if (layersToTransform !== undefined || layersPattern !== undefined) {
      throw new ConfigError({
        where: "layers_to_transform",
        what: `${method.name} is not put on layers`,
        ...(method.on === "modules" ? { hint: "put the numbers of the blocks into target_modules" } : {}),
      });
    }
    const excludedModules = new Set(
      method.on === "model" || excludeModules === undefined ? [] : matchModules(model, excludeModules),
    );
    const names =
      method.on === "model" ? [] : matchModules(model, targetModules).filter((name) => !excludedModules.has(name));
    return adapterOn(model, [], method, {
      name,
      config: configured,
      targetModules: names,
      modulesToSave,
      bias,
      ensureWeightTying,
      copies: new Map([...modules, ...copiedBiases(model, [], { name, bias }, modules)]),
    });
  }
  const matched = matchTargets(model.layers, targetModules, options).filter(({ weight }) => !modules.has(weight));
  if (matched.length === 0) {
    throw new ConfigError({
      where: "target_modules",
      what: "there is no layer to adapt",
      got: String(targetModules),
      hint: "exclude_modules and modules_to_save win over target_modules",
    });
  }
  if (ensureWeightTying) refuseTiedTargets(model, matched);
  const unused = unusedPatterns(
    configured,
    matched.map((layer) => layer.name),
  );
  if (unused.length > 0) {
    throw new ConfigError({
      where: unused[0]!.setting,
      what: `${listed(unused.map(({ pattern }) => `"${pattern}"`))}: no target's name ends like that`,
      hint: `targets are ${listed(shortNames(model.layers, matched))}`,
    });
  }
  const excluded =
    excludeModules instanceof RegExp && excludeModules.flags !== ""
      ? shortNames(model.layers, matchTargets(model.layers, excludeModules))
      : excludeModules instanceof RegExp
        ? excludeModules.source
        : excludeModules;
  return adapterOn(model, matched, method, {
    name,
    config: configured,
    targetModules: targetNames(model.layers, matched, targetModules),
    ...(excluded === undefined ? {} : { excludeModules: excluded }),
    ...(layersToTransform === undefined ? {} : { layersToTransform }),
    ...(layersPattern === undefined ? {} : { layersPattern }),
    modulesToSave,
    bias,
    ensureWeightTying,
    copies: new Map([...modules, ...copiedBiases(model, matched, { name, bias }, modules)]),
  });
}

function refuseTiedTargets({ tied = {} }: AdaptableModel, targets: readonly Layer[]): void {
  const shared = new Set(Object.entries(tied).flat());
  const layer = targets.find(({ weight }) => shared.has(weight));
  if (layer === undefined) return;
  throw new ConfigError({
    where: "ensure_weight_tying",
    what: `not supported for targets, only for modules_to_save: "${layer.name}" shares its weight with another layer`,
    hint: "leave the option out (the layer then gets an update of its own), or the layer out of the targets",
  });
}

/**
 * Puts a method on exactly these layers.
 * @throws ConfigError if the name cannot be part of a parameter's, or the method cannot be put on one of the layers
 */
export function adapterOn<C extends object>(
  model: AdaptableModel,
  layers: readonly Layer[],
  method: Method<C>,
  options: Selection & Pick<Adapter<C>, "name" | "config" | "copies">,
): Adapter<C> {
  const { name } = options;
  const config = method.complete?.(options.config, model, layers) ?? options.config;
  if (name === "" || name.includes(".")) {
    throw new ConfigError({ where: "adapter", what: "not a name", got: name, expected: "a name without dots" });
  }
  const virtual = method.virtualTokens?.(config) ?? 0;
  if (model.maxPositions !== undefined && virtual >= model.maxPositions) {
    throw new ConfigError({
      where: method.name,
      what: `leaves no room for tokens: the model has ${model.maxPositions} positions`,
      got: `${virtual} virtual tokens`,
      expected: `at most ${model.maxPositions - 1}`,
      hint: "lower num_virtual_tokens",
    });
  }
  const targets = layers.flatMap((layer): AdaptedLayer<C>[] => {
    const own = configOn(config, layer.name);
    const added = method.parameters?.(layer, own) ?? [];
    const states = added.map((spec): [string, MethodParameter] => [
      spec.name,
      { ...spec, name: stateName(`${layer.name}.`, spec.name, name) },
    ]);
    return [{ layer, config: own, states: new Map(states) }];
  });
  const shared = new Map(
    (method.shared?.({ model, config, layers }) ?? []).map((spec): [string, MethodParameter] => [
      spec.name,
      { ...spec, name: stateName("", spec.name, name) },
    ]),
  );
  const copies = new Map([...options.copies, ...methodCopies(model, layers, method, { ...options, config })]);
  // Of a copy that stands in for two parameters there is one state.
  const copied = new Map([...copies.values()].flatMap((copy) => (copy.frozen === true ? [] : [[copy.name, copy]])));
  const added = [...targets.flatMap(({ states }) => [...states.values()]), ...shared.values()];
  const parameters = [...added.filter(({ frozen }) => frozen !== true), ...copied.values()];
  return { ...options, config, method, model, targets, shared, copies, parameters };
}

/** Copies that the method itself asks for, and weights that it puts in the place of the base's. */
function methodCopies<C extends object>(
  model: AdaptableModel,
  layers: readonly Layer[],
  method: Method<C>,
  { name, config, targetModules, copies }: Selection & Pick<Adapter<C>, "name" | "config" | "copies">,
): Map<string, Copy> {
  const specs = new Map(model.parameters.map((spec) => [spec.name, spec]));
  const modules = method.on === "modules" ? modulesOf(model, targetModules) : new Set<string>();
  const wanted = [
    ...(method.copies?.(model, config, layers) ?? []),
    ...[...specs.keys()].filter((parameter) => modules.has(parameter.slice(0, parameter.lastIndexOf(".")))),
  ];
  const trained = wanted.flatMap((parameter): [string, Copy][] => {
    const state = model.tied?.[parameter] ?? parameter;
    const spec = specs.get(state);
    if (spec === undefined || copies.has(parameter)) return [];
    return [[parameter, { ...spec, name: `${parameter}.${name}`, from: state, ofMethod: true }]];
  });
  const replaced = layers.flatMap((layer): [string, Copy][] => {
    if (method.replacesWeight?.(layer, configOn(config, layer.name), model) !== true) return [];
    const state = model.tied?.[layer.weight] ?? layer.weight;
    const spec = specs.get(state)!;
    const own = `${layer.name}.base_layer.${name}.weight`;
    return [[layer.weight, { ...spec, name: own, from: state, frozen: true, derived: true }]];
  });
  return new Map([...trained, ...replaced]);
}

function modulesOf(model: AdaptableModel, targets: string | readonly string[]): Set<string> {
  return new Set(matchModules(model, targets));
}

/** All states of an adapter: what it trains, and what it does not. */
export function adapterStates(adapter: Adapter): readonly ParameterSpec[] {
  const all = [...methodStates(adapter), ...adapter.copies.values()];
  return [...new Map(all.map((spec) => [spec.name, spec])).values()];
}

/** Those that the method brought, trained or not; no copies. */
export function methodStates({ targets, shared }: Pick<Adapter, "targets" | "shared">): readonly MethodParameter[] {
  return [...targets.flatMap(({ states }) => [...states.values()]), ...shared.values()];
}

/** Name of a state that a method keeps for a layer beside its parameters: see {@link Method.afterStep}. */
export function afterStateName(adapter: string, { name: layer }: Layer, name: string): string {
  return `after/${adapter}/${layer}.${name}`;
}

/** `fc1.` and `lora_A.weight` of adapter `default`: `fc1.lora_A.default.weight`, as PEFT names it in memory. */
function stateName(layer: string, parameter: string, adapter: string): string {
  const [module, ...rest] = parameter.split(".");
  return layer + [module, adapter, ...rest].join(".");
}

/**
 * Which state has the values of a parameter while adapters are on: the copy that one of them brings, or else the base's
 * own, for which a tied name is looked up. For whoever implements {@link Tracing.parameter}.
 * @param tied names that are not stored, to those that are
 * @throws ConfigError if two adapters bring copies of one parameter
 */
export function resolveParameter(
  adapters: readonly Pick<Adapter, "name" | "copies">[],
  tied: Readonly<Record<string, string>> = {},
): (name: string) => string {
  const owners = new Map<string, string>();
  for (const { name: adapter, copies } of adapters) {
    for (const parameter of copies.keys()) {
      const other = owners.get(parameter);
      if (other !== undefined) {
        throw new ConfigError({
          where: "adapters",
          what: `"${other}" and "${adapter}" both replace ${parameter}, and cannot be on together`,
        });
      }
      owners.set(parameter, adapter);
    }
  }
  const states = new Map(adapters.flatMap(({ copies }) => [...copies].map(([name, copy]) => [name, copy.name])));
  return (name) => states.get(name) ?? (Object.hasOwn(tied, name) ? tied[name]! : name);
}

/** A tracing that reads the copies of adapters in the place of the base's parameters: see {@link resolveParameter}. */
export function withCopies(
  tracing: Tracing,
  adapters: readonly Pick<Adapter, "name" | "copies">[],
  tied: Readonly<Record<string, string>> = {},
): Tracing {
  const stateOf = resolveParameter(adapters, tied);
  return {
    ...tracing,
    parameter: (name, shape) => tracing.parameter(stateOf(name), shape),
    ...(tracing.stored === undefined ? {} : { stored: (name: string) => tracing.stored!(stateOf(name)) }),
  };
}

export interface HookOptions {
  /** int32 scalar that changes with every step. Without it nothing is random, as outside training. */
  readonly seed?: Value;
  /**
   * How much of an adapter each row gets, by its name: float32 [rows, 1]; 1 is all, 0 nothing, to the bit, and other
   * numbers are weights. Rows are those that the layers see: the tokens of a batch one after the other, B · T of them
   * (embeddings too), or the images. A layer that is given other rows, such as a head, needs a hook of its own. Adapters
   * that are not mentioned are on. Copies of parameters know no gates: they are on where `resolveParameter` says so.
   */
  readonly gates?: ReadonlyMap<string, Value>;
}

/**
 * The hook that runs adapters, one after the other, on the layers that they target.
 * @throws ConfigError if two adapters have the same name
 */
export function adapterHook(adapters: readonly Adapter[], { seed, gates }: HookOptions = {}): LayerHook {
  const names = adapters.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) {
    throw new ConfigError({
      where: "adapters",
      what: `two of them are called "${twice}" and would share their parameters`,
      hint: "give each adapter a name of its own",
    });
  }
  const targets = adapters.map((adapter) => new Map(adapter.targets.map((target) => [target.layer.name, target])));
  return (call) => {
    const working = adapters.flatMap((adapter, i) => {
      const target = targets[i]!.get(call.layer.name);
      return target === undefined ? [] : [{ adapter, target }];
    });
    return working.reduce<() => Value>(
      (before, { adapter, target }, i) => {
        const { name, method } = adapter;
        const gate = gates?.get(name);
        const previous = once(before);
        return once(() => {
          const output = method.forward!({
            ...call,
            config: target.config,
            parameters: parameterValues(call.tracing, target),
            shared: sharedValues(call.tracing, adapter),
            previous,
            first: i === 0,
            ...(gate === undefined || method.gated !== true ? {} : { gate }),
            ...(seed === undefined ? {} : { random: { seed, stream: streamOf(`${name}/${call.layer.name}`) } }),
          });
          return gate === undefined || method.gated === true ? output : chosen(call, gate, output, previous());
        });
      },
      () => call.output(),
    )();
  };
}

/** `output` in rows with a gate above 0, `previous` in the others. */
function chosen({ layer, x }: LayerCall, gate: Value, output: Value, previous: Value): Value {
  const perRow = layer.kind === "embedding" ? [...x.type.shape, 1] : layer.kind === "conv2d" ? [-1, 1, 1, 1] : [-1, 1];
  return where(greater(reshape(gate, perRow), scalar(gate.graph, 0)), output, previous);
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

/** Values of the parameters of the model as a whole, by their relative names. */
export function sharedValues(
  tracing: Pick<Tracing, "parameter">,
  { shared }: Pick<Adapter, "shared">,
): Record<string, Value> {
  return Object.fromEntries([...shared].map(([name, spec]) => [name, tracing.parameter(spec.name, spec.shape)]));
}

/** Values of an adapted layer's parameters, by their relative names. */
export function parameterValues(tracing: Pick<Tracing, "parameter">, target: AdaptedLayer): Record<string, Value> {
  return Object.fromEntries([...target.states].map(([name, spec]) => [name, tracing.parameter(spec.name, spec.shape)]));
}
