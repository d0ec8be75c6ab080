/** Drops nodes that no output and no update depends on. */
import type { Graph } from "../graph.ts";
import { rewrite } from "./rewrite.ts";

export function removeDeadCode(graph: Graph): Graph {
  return rewrite(graph, { node: () => undefined });
}
