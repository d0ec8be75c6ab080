/** Names of an adapter's tensors in a file: those that its states have in memory, without the name of the adapter. */
import type { Adapter } from "../../adapters/adapter.ts";
import type { ParameterSpec } from "../../nn/module.ts";

/** What PEFT's wrapping adds to the names of the modules of a model. */
export const PREFIX = "base_model.model.";

/**
 * `base_model.model.fc1.lora_A.weight`.
 * @param parameter name relative to the layer: `lora_A.weight`
 */
export function tensorKey(layer: string, parameter: string): string {
  return `${PREFIX}${layer}.${parameter}`;
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

/** The states of an adapter by their names in a file. One that stands in for two parameters has two names. */
export function tensorKeys({ targets, copies }: Pick<Adapter, "targets" | "copies">): Map<string, ParameterSpec> {
  const names = new Set(targets.map(({ layer }) => layer.name));
  return new Map([
    ...targets.flatMap(({ layer, states }) =>
      [...states].map(([parameter, spec]) => [tensorKey(layer.name, parameter), spec] as const),
    ),
    ...[...copies].map(([parameter, copy]) => [copyKey(parameter, names), copy] as const),
  ]);
}
