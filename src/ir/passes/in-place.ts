/**
 * Makes it safe to write new states over the old ones: every reader of a state runs before the node that writes it.
 *
 * Most readers are what the new state is computed from. The others, such as the backward product of a layer with the
 * weight that its own gradient is about to change, become dependencies: a scalar on the way to the write (a learning
 * rate, a decay) waits for them.
 */
import { GraphError } from "../../errors.ts";
import { type Graph, type Node, reachable, type Value } from "../graph.ts";
import { after } from "../ops/after.ts";
import { sameShape } from "../shape.ts";
import { readers, rewrite } from "./rewrite.ts";

export function orderInPlace(graph: Graph): Graph {
  const readersOf = readers(graph);
  const ancestors = ancestorsOf(graph);
  /** For a node: the input that has to wait, and the values that it waits for. */
  const waits = new Map<Node, { input: Value; dependencies: Set<Value> }>();
  /** Updates whose writer reads the state in a way that does not allow writing over it. */
  const copied = new Set<Value>();

  for (const [state, value] of graph.updates) {
    const writer = value.producer;
    if (writer === undefined) continue;
    const others = (readersOf.get(state) ?? []).filter((reader) => reader !== writer);
    if (writer.inputs.includes(state) && !mayOverwrite(writer, state)) copied.add(value);
    const before = ancestors(writer);
    const late = others.filter((reader) => !before.has(reader));
    if (late.length === 0) continue;
    for (const reader of late) {
      if (ancestors(reader).has(writer)) {
        throw new GraphError({
          where: state.name,
          what: "an old state is read after its new contents have been computed from it",
          hint: "make an output of the new value instead of an update",
        });
      }
    }
    // A dependency that another one depends on says nothing new.
    const needed = late.filter((reader) => !late.some((other) => other !== reader && ancestors(other).has(reader)));
    const gate = findGate(writer, needed, ancestors);
    const wait = waits.get(gate.node) ?? { input: gate.input, dependencies: new Set() };
    for (const reader of needed) wait.dependencies.add(reader.outputs[0]!);
    waits.set(gate.node, wait);
  }

  const copies = new Map<Value, Value>();
  const held = new Map<string, Value>();
  return rewrite(graph, {
    node(node, inputs, into) {
      const wait = waits.get(node);
      let ready = inputs;
      if (wait !== undefined) {
        const at = node.inputs.indexOf(wait.input);
        const dependencies = [...wait.dependencies].map((value) => copies.get(value)!);
        const key = [inputs[at]!, ...dependencies].map((value) => value.id).join();
        const gated = held.get(key) ?? into.scope("in-place", () => dependencies.reduce(after, inputs[at]!));
        held.set(key, gated);
        ready = inputs.with(at, gated);
      }
      const outputs = into.copy(node, ready).map((output, i) => {
        const old = node.outputs[i]!;
        copies.set(old, output);
        return copied.has(old) ? after(output, output) : output;
      });
      return outputs;
    },
  });
}

/** Elementwise kernels read element i before they write it, unless the state is stretched. */
function mayOverwrite(writer: Node, state: Value): boolean {
  return writer.op.elementwise === true && sameShape(state.type.shape, writer.outputs[0]!.type.shape);
}

/**
 * A node at or above `writer` that may wait: one that no dependency is computed from. Of its inputs, a scalar costs
 * nothing to hold back.
 */
function findGate(
  writer: Node,
  dependencies: readonly Node[],
  ancestors: (node: Node) => Set<Node>,
): { node: Node; input: Value } {
  const blocked = (node: Node) =>
    dependencies.some((dependency) => dependency === node || ancestors(dependency).has(node));
  let frontier: Node[] = [writer];
  const seen = new Set(frontier);
  while (frontier.length > 0) {
    for (const node of frontier) {
      const input = node.inputs.find(({ type }) => type.shape.length === 0 && type.dtype === "float32");
      if (input !== undefined) return { node, input };
    }
    frontier = frontier
      .flatMap((node) => node.inputs.flatMap((input) => input.producer ?? []))
      .filter((node) => !blocked(node) && !seen.has(node) && seen.add(node));
  }
  return { node: writer, input: writer.inputs.at(-1)! };
}

function ancestorsOf(graph: Graph): (node: Node) => Set<Node> {
  const known = new Map<Node, Set<Node>>();
  return (node) => {
    const cached = known.get(node);
    if (cached !== undefined) return cached;
    const found = new Set(reachable(graph, node.inputs));
    known.set(node, found);
    return found;
  };
}
