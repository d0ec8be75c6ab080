/** Names of an adapter's tensors in a file: those that its states have in memory, without the name of the adapter. */

/** What PEFT's wrapping adds to the names of the modules of a model. */
const PREFIX = "base_model.model.";

/**
 * `base_model.model.fc1.lora_A.weight`.
 * @param parameter name relative to the layer: `lora_A.weight`
 */
export function tensorKey(layer: string, parameter: string): string {
  return `${PREFIX}${layer}.${parameter}`;
}
