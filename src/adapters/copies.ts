/**
 * Parameters of the base that an adapter has trained copies of: PEFT's `modules_to_save` and `bias`. While the adapter is
 * on, they stand in for the base's own.
 *
 * PEFT trains biases where they are, so that they stay changed when its adapter is off. Here they are copies like the rest.
 */
import { ConfigError, listed } from "../errors.ts";
import { nearest } from "../nearest.ts";
import type { Layer, ParameterSpec } from "../nn/module.ts";

/** What adapters are put on. */
export interface AdaptableModel {
  readonly parameters: readonly ParameterSpec[];
  /** In the order of the forward pass. */
  readonly layers: readonly Layer[];
  /** Names that are not stored, to the parameter whose values they have. Default: none. */
  readonly tied?: Readonly<Record<string, string>>;
  /** Whether a parameter lies in a storage of fewer bits. Default: none does. */
  readonly isStored?: (parameter: string) => boolean;
  /** Layers that are adapted when nothing is said. Default: `all-linear`. */
  readonly defaultTargets?: readonly string[];
  /** As in `config.json`, for defaults that depend on it. Default: not known. */
  readonly modelType?: string;
  /** Sizes of a language model, as `TextModel` has them. Default: it is none. */
  readonly hiddenSize?: number;
  readonly blocks?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly headDim?: number;
  readonly maxPositions?: number;
  /** Which token of a text tells its class. Default: the model tells none. */
  readonly classToken?: "first" | "last";
  /** Modules of a head that no pretrained checkpoint has: fresh adapters of language models train copies of them. Default: none. */
  readonly newModules?: readonly string[];
  /** Where it was loaded from, and its tokenizer is. Default: not known. */
  readonly nameOrPath?: string;
}

/** An adapter's own version of a parameter. Its `name` is that of its state. */
export interface Copy extends ParameterSpec {
  /** State of the base that it starts from. */
  readonly from: string;
  /** It came with the adapter and is not trained. */
  readonly frozen?: true;
  /** The file does not hold it: the method makes it again. */
  readonly derived?: true;
  /** The method asked for it, and names it in the file. */
  readonly ofMethod?: true;
}

export type BiasMode = (typeof BIAS_MODES)[number];

/** `all`: every bias of the model. `lora_only`: those of the adapted layers. */
export const BIAS_MODES = ["none", "all", "lora_only"] as const;

export interface CopyOptions {
  /** Of the adapter. */
  readonly name: string;
  readonly bias: BiasMode;
  /** Endings of names of modules, such as `lm_head`, or of blocks. As in PEFT they need not begin after a dot. */
  readonly modulesToSave: readonly string[];
  /** Parameters that share their values with a copied one share the copy. */
  readonly ensureWeightTying: boolean;
}

/** Copies of the modules to save, by the names of the parameters that they stand in for. */
export function copiedModules(model: AdaptableModel, options: CopyOptions): Map<string, Copy> {
  const { name: adapter, modulesToSave, ensureWeightTying } = options;
  const { tied = {} } = model;
  const copies = new Map<string, Copy>();
  const known = new Map<string, Copy>();
  for (const [name, spec] of namedParameters(model)) {
    const module = ancestors(name).find((path) => modulesToSave.some((target) => path.endsWith(target)));
    if (module === undefined) continue;
    // What two parts of a module share, they share in its copy.
    const key = `${module}/${spec.name}`;
    const copy = known.get(key) ?? { ...spec, name: copyName(name, module, adapter), from: spec.name };
    known.set(key, copy);
    copies.set(name, copy);
  }
  if (ensureWeightTying) {
    for (const [name, source] of Object.entries(tied)) {
      const spec = copies.get(source) ?? copies.get(name);
      if (spec === undefined) continue;
      const shared = { ...spec, name: copyName(source, source.slice(0, source.lastIndexOf(".")), adapter) };
      copies.set(source, shared);
      copies.set(name, shared);
    }
  }
  return copies;
}

/** Copies of biases; those that are copied already are left out. @param targets the adapted layers */
export function copiedBiases(
  model: AdaptableModel,
  targets: readonly Layer[],
  { name: adapter, bias }: Pick<CopyOptions, "name" | "bias">,
  known: ReadonlyMap<string, Copy>,
): Map<string, Copy> {
  const biases = new Set(targets.map(biasName));
  const wanted = (name: string) => (bias === "all" ? name.endsWith(".bias") : bias === "lora_only" && biases.has(name));
  return new Map(
    model.parameters.flatMap((spec): [string, Copy][] =>
      wanted(spec.name) && !known.has(spec.name)
        ? [[spec.name, { ...spec, name: `${spec.name}.${adapter}`, from: spec.name }]]
        : [],
    ),
  );
}

/** Names of modules to save that no module's name ends in. */
export function unmatchedModules(model: AdaptableModel, modulesToSave: readonly string[]): string[] {
  const paths = modulePaths(model);
  return modulesToSave.filter((target) => target === "" || !paths.some((path) => path.endsWith(target)));
}

/** @throws ConfigError naming every entry of `modulesToSave` that matches no module, with the nearest names */
export function checkModules(model: AdaptableModel, modulesToSave: readonly string[]): void {
  const unmatched = unmatchedModules(model, modulesToSave);
  if (unmatched.length === 0) return;
  const paths = modulePaths(model);
  const endings = [...new Set(paths.map((path) => path.split(".").at(-1)!))];
  const hints = unmatched.slice(0, 10).map((target) => {
    const closest = nearest(target, target.includes(".") ? paths : endings);
    return closest === undefined ? "the model has no modules" : `the closest name to "${target}" is "${closest}"`;
  });
  throw new ConfigError({
    where: "modules_to_save",
    what: `${listed(unmatched.map((target) => `"${target}"`))}: no module of the model`,
    hint: hints.join("; "),
  });
}

/** `lm_head.weight` of module `lm_head` and adapter `default`: `lm_head.modules_to_save.default.weight`, as in PEFT. */
function copyName(parameter: string, module: string, adapter: string): string {
  return `${module}.modules_to_save.${adapter}${parameter.slice(module.length)}`;
}

/** The name that a layer's bias has if there is one. */
export function biasName(layer: Layer): string {
  return layer.kind === "linear" ? (layer.bias ?? `${layer.name}.bias`) : `${layer.name}.bias`;
}

/** All parameters by all of their names: tied ones with the state that has their values. */
function namedParameters({ parameters, tied = {} }: AdaptableModel): Map<string, ParameterSpec> {
  const named = new Map(parameters.map((spec) => [spec.name, spec]));
  for (const [name, source] of Object.entries(tied)) {
    const spec = named.get(source);
    if (spec !== undefined) named.set(name, spec);
  }
  return named;
}

/** Names of all modules, the outer ones too. */
export function modulePaths(model: AdaptableModel): string[] {
  return [...new Set([...namedParameters(model).keys()].flatMap(ancestors))];
}

/** Modules that a parameter is in, the outermost first: `a.b.weight` is in `a` and in `a.b`. */
function ancestors(parameter: string): string[] {
  const parts = parameter.split(".");
  return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join("."));
}
