/** How passes change graphs: they copy them, node by node, and put something else in some places. */
import { Graph, type Node, reachable, results, type Value } from "../graph.ts";

export interface Rewriter {
  /** Values that take the place of the node's outputs; `undefined` copies the node. */
  node(node: Node, inputs: readonly Value[], into: Graph): readonly Value[] | undefined;
}

/** A copy of `graph` without the nodes that no result depends on. Inputs keep their names and order. */
export function rewrite(graph: Graph, rewriter: Rewriter): Graph {
  const into = new Graph();
  const copies = new Map<Value, Value>();
  const copyOf = (value: Value) => copies.get(value)!;
  for (const { kind, value } of graph.inputs) {
    copies.set(value, kind === "feed" ? into.feed(value.name, value.type) : into.state(value.name, value.type));
  }
  for (const node of reachable(graph, results(graph))) {
    const inputs = node.inputs.map(copyOf);
    const outputs = rewriter.node(node, inputs, into) ?? into.copy(node, inputs);
    node.outputs.forEach((output, i) => copies.set(output, outputs[i]!));
  }
  for (const [state, value] of graph.updates) into.update(copyOf(state), copyOf(value));
  for (const [name, value] of graph.outputs) into.output(name, copyOf(value));
  return into;
}

/** Nodes that read each value. */
export function readers(graph: Graph): Map<Value, Node[]> {
  const map = new Map<Value, Node[]>();
  for (const node of graph.nodes) {
    for (const input of new Set(node.inputs)) {
      const list = map.get(input);
      if (list === undefined) map.set(input, [node]);
      else list.push(node);
    }
  }
  return map;
}
