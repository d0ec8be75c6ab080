/** Passes that every graph goes through before an engine sees it, in order. */
import type { Graph } from "../graph.ts";

export interface PassOptions {
  readonly device: "cpu" | "webgpu" | "interp";
  /** Typical sizes of named dimensions, for choices by cost. */
  readonly typicalSizes: Readonly<Record<string, number>>;
}

export function optimize(graph: Graph, _options: PassOptions): Graph {
  return graph;
}
