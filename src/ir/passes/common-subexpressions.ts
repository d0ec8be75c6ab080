/**
 * Computes equal things once: nodes with the same operation, inputs and attributes become one. A recomputed node is only
 * equal to nodes of the same recomputation; merging it with the first computation would keep the activations that
 * checkpointing is there to drop.
 */
import type { Graph, Value } from "../graph.ts";
import { rewrite } from "./rewrite.ts";

export function mergeCommonSubexpressions(graph: Graph): Graph {
  const seen = new Map<string, readonly Value[]>();
  return rewrite(graph, {
    node(node, inputs, into) {
      const key = JSON.stringify([node.op.name, inputs.map((input) => input.id), node.attrs, node.recomputes ?? 0]);
      const known = seen.get(key);
      if (known !== undefined) return known;
      const outputs = into.copy(node, inputs);
      seen.set(key, outputs);
      return outputs;
    },
  });
}
