/** Parameters of a model in a graph: states of float32 values, or weights that are stored in another way. */
import type { Graph } from "../ir/graph.ts";
import { shapeOf } from "../ir/shape.ts";
import type { Tracing } from "../nn/module.ts";
import type { StoredWeights } from "../nn/stored-weight.ts";

/** @param stateOf name of the state that has a parameter's values */
export function readStored(
  graph: Graph,
  stored: StoredWeights | undefined,
  stateOf: (parameter: string) => string,
): Pick<Tracing, "parameter" | "stored"> {
  const parameter: Tracing["parameter"] = (name, shape) => {
    const state = stateOf(name);
    return stored?.in(graph, state)?.value() ?? graph.state(state, { dtype: "float32", shape: shapeOf(shape) });
  };
  if (stored === undefined) return { parameter };
  return { parameter, stored: (name) => stored.in(graph, stateOf(name)) };
}
