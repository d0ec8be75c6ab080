/**
 * The base's embedding table and head in an adapter's file. PEFT writes the base's own along with an adapter that targets
 * them (`save_embedding_layers="auto"`), or when the vocabulary was resized, and reads them back over the base's.
 */
import type { Adapter } from "../../adapters/adapter.ts";
import type { AdaptableModel } from "../../adapters/copies.ts";
import { isAllLinear } from "../../adapters/targets.ts";
import type { Layer, ParameterSpec } from "../../nn/module.ts";
import { tensorKey } from "./tensor-keys.ts";

/** Names by which PEFT knows these layers. GPT-2's `wte` is not among them. */
const NAMES = ["embed_tokens", "lm_head"];

/** The layers that read and write tokens: the first embedding, and the outputs. */
export function vocabularyLayers({ layers }: AdaptableModel): Layer[] {
  const first = layers.find(({ kind }) => kind === "embedding");
  return [
    ...(first === undefined ? [] : [first]),
    ...layers.filter((layer) => layer.kind === "linear" && layer.isOutput === true),
  ];
}

/** What PEFT's `auto` writes of the base along with an adapter: states by their names in the file. */
export function tablesToSave(adapter: Adapter): Map<string, ParameterSpec> {
  const { model, targets, targetModules, copies } = adapter;
  const targeted = new Set(targets.map(({ layer }) => layer));
  const specs = new Map(model.parameters.map((spec) => [spec.name, spec]));
  const isNamed =
    typeof targetModules === "string" && !isAllLinear(targetModules)
      ? targets.some(({ layer }) => NAMES.includes(layer.name.split(".").at(-1)!))
      : NAMES.some((name) => targetModules.includes(name));
  if (!isNamed) return new Map();
  return new Map(
    vocabularyLayers(model).flatMap((layer) => {
      const spec = specs.get(model.tied?.[layer.weight] ?? layer.weight);
      if (spec === undefined || !targeted.has(layer) || copies.has(layer.weight)) return [];
      return [[tensorKey(layer.name, "base_layer.weight"), spec] as const];
    }),
  );
}
