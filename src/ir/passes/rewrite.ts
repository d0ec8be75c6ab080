/** How passes change graphs: they copy them, node by node, and put something else in some places. */
import { Graph, type Node, reachable, results, type Value } from "../graph.ts";

export interface Rewriter {
  /** Values that take the place of the node's outputs; `undefined` copies the node. */
  node?(node: Node, inputs: readonly Value[], into: Graph): readonly Value[] | undefined;
  /** What replaces `state`, given what did so before; `undefined` leaves the state as it is. Default: the same. */
  update?(state: Value, value: Value, into: Graph): Value | undefined;
  /** What is given out under a name, given what was before. Default: the same. */
  output?(name: string, value: Value, into: Graph): Value;
}

/**
 * A copy of `graph` without the nodes that no result depends on. Inputs keep their names and order. What a rewriter is
 * given belongs to the copy, except for `node` itself.
 * @param nodes those that results depend on, each after those that it depends on
 */
export function rewrite(
  graph: Graph,
  rewriter: Rewriter,
  nodes: readonly Node[] = reachable(graph, results(graph)),
): Graph {
  const into = new Graph();
  const copies = new Map<Value, Value>();
  const copyOf = (value: Value) => copies.get(value)!;
  for (const { kind, value } of graph.inputs) {
    copies.set(value, kind === "feed" ? into.feed(value.name, value.type) : into.state(value.name, value.type));
  }
  for (const node of nodes) {
    const inputs = node.inputs.map(copyOf);
    const outputs = rewriter.node?.(node, inputs, into) ?? into.copy(node, inputs);
    node.outputs.forEach((output, i) => copies.set(output, outputs[i]!));
  }
  const updates = [...graph.updates].map(([state, value]) => [copyOf(state), copyOf(value)] as const);
  for (const [state, value] of updates) {
    const next = rewriter.update === undefined ? value : rewriter.update(state, value, into);
    if (next !== undefined) into.update(state, next);
  }
  for (const [name, value] of graph.outputs) {
    const copy = copyOf(value);
    into.output(name, rewriter.output?.(name, copy, into) ?? copy);
  }
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

/** The value whose memory `value` may share: see {@link Op.view}. */ /** The value whose memory `value` may share, through operations that only look at it in another way. */
export function memoryOf(value: Value): Value {
  let root = value;
  while (root.producer?.op.view === true) root = root.producer.inputs[0]!;
  return root;
}
