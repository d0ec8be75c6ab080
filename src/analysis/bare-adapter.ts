/**
 * The layers that an adapter is on, when nothing but the adapter is there: the shapes of its tensors follow from those of the
 * layers, and mostly the other way round too.
 */
import type { AdaptableModel } from "../adapters/copies.ts";
import type { Method } from "../adapters/method.ts";
import { configOn } from "../adapters/patterns.ts";
import { ConfigError, listed } from "../errors.ts";
import type { TensorEntry } from "../formats/safetensors/index.ts";
import { keyOf } from "../formats/peft/tensor-keys.ts";
import { zeros } from "../nn/init.ts";
import type { Layer, ParameterSpec } from "../nn/module.ts";

/** Widths of layers that a method is asked about for the names of its parameters, which may depend on the width. */
const PROBES = [4, 64, 4096, 2 ** 20];

/**
 * @param tensors of the file, by the names that PEFT writes
 * @throws ConfigError naming the modules whose shape the tensors do not say
 */
export function bareModel(
  path: string,
  method: Method<object>,
  config: object,
  tensors: ReadonlyMap<string, Pick<TensorEntry, "shape">>,
): AdaptableModel {
  const suffixes = parameterSuffixes(method, config);
  const modules = new Map<string, Map<string, readonly number[]>>();
  const rest: ParameterSpec[] = [];
  for (const [key, { shape }] of tensors) {
    const suffix = suffixes.find((each) => key.endsWith(each));
    if (suffix === undefined) {
      rest.push({ name: key.replace(/^base_model\.model\./, "").replace(".base_layer.", "."), shape, init: zeros });
      continue;
    }
    const module = key.slice(0, -suffix.length).replace(/^base_model\.model\./, "");
    modules.set(module, (modules.get(module) ?? new Map<string, readonly number[]>()).set(key, shape));
  }
  const unclear: string[] = [];
  const layers = [...modules].flatMap(([module, own]) => {
    const layer = inferred(method, config, module, own);
    if (layer === undefined) unclear.push(module);
    return layer ?? [];
  });
  if (unclear.length > 0 || layers.length === 0) {
    throw new ConfigError({
      where: path,
      what:
        unclear.length > 0
          ? `the tensors of ${method.name} do not say what shape these layers have: ${listed(unclear)}`
          : `there is no layer with parameters of ${method.name}`,
      hint: "give the base too: lowrank analyze BASE ADAPTER",
    });
  }
  return { parameters: [...layers.map(weightOf), ...rest], layers };
}

/** `.lora_A.weight` and the like, longest first. */
function parameterSuffixes(method: Method<object>, config: object): string[] {
  const found = PROBES.flatMap((width) =>
    probe("", width, width).flatMap((layer) =>
      (specsOf(method, config, layer) ?? []).map(({ name }) => keyOf(method, "?", name).replace(/^.*\?/, "")),
    ),
  );
  return [...new Set(found)].toSorted((a, b) => b.length - a.length);
}

/** The only layer that has these tensors. */
function inferred(
  method: Method<object>,
  config: object,
  module: string,
  tensors: ReadonlyMap<string, readonly number[]>,
): Layer | undefined {
  const sizes = new Set([...tensors.values()].flat());
  const products = [...sizes].flatMap((a) => [...sizes].map((b) => a * b));
  const candidates = [...new Set([...sizes, ...products])];
  const fitting = candidates.flatMap((outputs) =>
    candidates.flatMap((inputs) =>
      probe(module, outputs, inputs).filter((layer) => fits(method, config, layer, tensors)),
    ),
  );
  const linear = fitting.filter(({ kind }) => kind === "linear");
  const found = linear.length > 0 ? linear : fitting;
  return found.length === 1 ? found[0] : undefined;
}

function probe(name: string, outFeatures: number, inFeatures: number): Layer[] {
  const weight = `${name}.weight`;
  return [
    { kind: "linear", name, weight, inFeatures, outFeatures },
    { kind: "embedding", name, weight, inFeatures, outFeatures },
  ];
}

function fits(
  method: Method<object>,
  config: object,
  layer: Layer,
  tensors: ReadonlyMap<string, readonly number[]>,
): boolean {
  const specs = specsOf(method, config, layer)?.filter(({ derived }) => derived !== true) ?? [];
  return (
    specs.length === tensors.size &&
    specs.every(({ name, shape }) => tensors.get(keyOf(method, layer.name, name))?.join() === shape.join())
  );
}

function specsOf(method: Method<object>, config: object, layer: Layer) {
  try {
    return method.parameters?.(layer, configOn(config, layer.name));
  } catch {
    return undefined; // The method is not for such layers.
  }
}

function weightOf(layer: Layer): ParameterSpec {
  const { inFeatures, outFeatures, weight: name } = layer;
  return {
    name,
    shape: layer.kind === "embedding" ? [inFeatures, outFeatures] : [outFeatures, inFeatures],
    init: zeros,
  };
}
