/**
 * Names of an adapter's tensors in a file: those that its states have in memory, without the name of the adapter, or those
 * that the method gives them.
 */
import type { Adapter } from "../../adapters/adapter.ts";
import type { Method } from "../../adapters/method.ts";
import type { ParameterSpec } from "../../nn/module.ts";

/** What PEFT's wrapping adds to the names of the modules of a model, and to those of the model's own parameters. */
export const PREFIX = "base_model.model.";
const MODEL_PREFIX = "base_model.";

/**
 * `base_model.model.fc1.lora_A.weight`.
 * @param parameter name relative to the layer: `lora_A.weight`
 */
export function tensorKey(layer: string, parameter: string): string {
  return `${PREFIX}${layer}.${parameter}`;
}

/** The same as the method has it. @param layer undefined: a parameter of the model as a whole */
export function keyOf(method: Method<object>, layer: string | undefined, parameter: string): string {
  const own = method.file?.key?.(layer, parameter);
  return own ?? (layer === undefined ? `${MODEL_PREFIX}${parameter}` : tensorKey(layer, parameter));
}

/**
 * A parameter of the base: `base_model.model.fc1.bias`, or `base_model.model.fc1.base_layer.bias` where the layer is adapted.
 * @param targets the adapted layers
 */
export function copyKey(parameter: string, targets: ReadonlySet<string>): string {
  const layer = parameter.slice(0, parameter.lastIndexOf("."));
  const own = parameter.slice(layer.length + 1);
  return targets.has(layer) ? tensorKey(layer, `base_layer.${own}`) : `${PREFIX}${parameter}`;
}

/**
 * The states of an adapter by their names in a file. One that stands in for two parameters has two names; those that the
 * method makes again have none.
 */
export function tensorKeys(adapter: Adapter): Map<string, ParameterSpec> {
  const { method, targets, shared, copies } = adapter;
  const names = new Set(targets.map(({ layer }) => layer.name));
  const copied = (parameter: string, ofMethod: boolean) => {
    const at = parameter.lastIndexOf(".");
    if (ofMethod) return keyOf(method, parameter.slice(0, at), parameter.slice(at + 1));
    return method.file?.unwrapped === true ? `${MODEL_PREFIX}${parameter}` : copyKey(parameter, names);
  };
  return new Map([
    ...targets.flatMap(({ layer, states }) =>
      [...states].flatMap(([parameter, spec]) =>
        spec.derived === true ? [] : [[keyOf(method, layer.name, parameter), spec] as const],
      ),
    ),
    ...[...shared].flatMap(([parameter, spec]) =>
      spec.derived === true ? [] : [[keyOf(method, undefined, parameter), spec] as const],
    ),
    ...[...copies].flatMap(([parameter, copy]) =>
      copy.derived === true ? [] : [[copied(parameter, copy.ofMethod === true), copy] as const],
    ),
  ]);
}

/** Copies of parameters of the base only, by their names in a file. */
export function copyKeys(adapter: Adapter): Map<string, ParameterSpec> {
  const copies = new Set<ParameterSpec>(adapter.copies.values());
  return new Map([...tensorKeys(adapter)].filter(([, spec]) => copies.has(spec)));
}
