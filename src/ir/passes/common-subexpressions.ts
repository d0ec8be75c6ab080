/**
 * Computes equal things once: nodes with the same operation, inputs and attributes become one. A recomputed node is only
 * equal to nodes of the same recomputation; merging it with the first computation would keep the activations that
 * checkpointing is there to drop.
 */
import { Graph, type Value } from "../graph.ts";
import { rewrite } from "./rewrite.ts";

export function mergeCommonSubexpressions(graph: Graph): Graph {
  const seen = new Map<string, readonly Value[]>();
  const bodies = new Map<Graph, number>();
  const keyOf = (value: unknown): unknown => {
    // JSON has one text for NaN, the infinities and null, and one for 0 and -0.
    if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
    if (typeof value === "string") return `"${value}"`;
    if (Array.isArray(value)) return value.map(keyOf);
    if (typeof value !== "object" || value === null) return String(value);
    // Bodies are compared by identity: whether two of them compute the same is another question.
    if (value instanceof Graph) {
      if (!bodies.has(value)) bodies.set(value, bodies.size);
      return { body: bodies.get(value) };
    }
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, keyOf(part)]));
  };
  return rewrite(graph, {
    node(node, inputs, into) {
      const ids = inputs.map((input) => input.id);
      const key = JSON.stringify([node.op.name, ids, keyOf(node.attrs), node.recomputes ?? 0]);
      const known = seen.get(key);
      if (known !== undefined) return known;
      const outputs = into.copy(node, inputs);
      seen.set(key, outputs);
      return outputs;
    },
  });
}
