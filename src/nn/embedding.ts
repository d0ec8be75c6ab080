/** A row of a table for every token, as PyTorch's `nn.Embedding`. */
import type { Value } from "../ir/graph.ts";
import { gather } from "../ir/ops/gather.ts";
import { normal } from "./init.ts";
import { callLayer, type EmbeddingLayer, type ParameterSpec, type Tracing } from "./module.ts";

export interface Embedding {
  readonly layer: EmbeddingLayer;
  readonly parameters: readonly ParameterSpec[];
  /** int32 [...] -> [..., width] */
  forward(tracing: Tracing, tokens: Value): Value;
}

/** Names its table `name.weight`, [rows, width]. @param std of the random start, as `initializer_range` */
export function embedding(name: string, rows: number, width: number, std = 0.02): Embedding {
  const weight = { name: `${name}.weight`, shape: [rows, width], init: normal(std) };
  const layer: EmbeddingLayer = {
    kind: "embedding",
    name,
    weight: weight.name,
    inFeatures: rows,
    outFeatures: width,
  };
  return {
    layer,
    parameters: [weight],
    forward: (tracing, tokens) =>
      callLayer(
        tracing,
        layer,
        tokens,
        weight.shape,
        (ids, table) => gather(table, ids),
        (stored, ids) => stored.rows(ids),
      ),
  };
}
