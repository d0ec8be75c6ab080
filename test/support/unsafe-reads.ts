/** Whether states can be written over: judged from the graph alone, without the pass that sees to it. */
import { type Graph, type Node, reachable, results, type Value } from "../../src/ir/graph.ts";

/** Reads of a state, or of a view of it, that nothing forces to happen before the state is written; `[]` if it is safe. */
export function unsafeReads(graph: Graph): string[] {
  const live = reachable(graph, results(graph));
  const problems: string[] = [];
  const writers = new Set<Node>();
  for (const [state, value] of graph.updates) {
    const writer = value.producer;
    if (writer === undefined || writer.op.name === "constant") {
      problems.push(`${state.name} <- ${value.name}: nothing writes it`);
      continue;
    }
    if (writers.has(writer) && writer.outputs.length === 1) problems.push(`${value.name} is written to two states`);
    writers.add(writer);
    const memory = viewsOf(state, live);
    const before = new Set(reachable(graph, writer.inputs));
    for (const node of live) {
      if (node === writer || !node.inputs.some((input) => memory.has(input))) continue;
      if (!before.has(node)) problems.push(`${state.name}: ${node.op.name} of ${node.outputs[0]!.name}`);
    }
    for (const [name, output] of graph.outputs) if (memory.has(output)) problems.push(`${state.name}: output ${name}`);
  }
  return problems;
}

function viewsOf(state: Value, live: readonly Node[]): Set<Value> {
  const views = new Set([state]);
  for (const node of live) {
    if (["reshape", "transpose"].includes(node.op.name) && views.has(node.inputs[0]!)) views.add(node.outputs[0]!);
  }
  return views;
}
