/**
 * Makes it safe to write new states over the old ones: every reader of a state runs before the node that writes it.
 *
 * Most readers are what the new state is computed from. The others, such as the backward product of a layer with the
 * weight that its own gradient is about to change, become dependencies: a scalar on the way to the write (a learning
 * rate, a decay) waits for them. Where nothing on the way may wait, the new state is computed elsewhere and copied when
 * its readers have run; that costs a copy, and is always possible.
 *
 * Afterwards every updated state has a node of its own that writes it, and no output shares its memory.
 */
import { type Graph, type Node, type Value } from "../graph.ts";
import { after } from "../ops/after.ts";
import { sameShape } from "../shape.ts";
import { memoryOf, readers, type Rewriter, rewrite } from "./rewrite.ts";

/** Ancestor sets that are kept at a time. */
const MAX_KNOWN = 64;

export function orderInPlace(graph: Graph): Graph {
  return addDependencies(separateWriters(graph));
}

/** Gives every updated state a writer of its own, which may write over the old contents as far as it reads them. */
function separateWriters(graph: Graph): Graph {
  const updated = new Set([...graph.updates.keys()].map(({ name }) => name));
  const written = new Set<Value>();
  const sharesState = (value: Value) => updated.has(memoryOf(value).name) && memoryOf(value).producer === undefined;
  return rewrite(graph, {
    update(state, value) {
      if (value === state) return undefined;
      const writer = value.producer;
      const own = writer !== undefined && writer.op.name !== "constant" && writer.op.view !== true;
      const direct = own && !written.has(value) && mayOverwrite(writer, state);
      written.add(value);
      return direct ? value : after(value, value);
    },
    // A result is copied out when the run ends; by then the state has its new contents.
    output: (_name, value) => (sharesState(value) ? after(value, value) : value),
  });
}

/** Elementwise kernels read element i before they write it, unless the state is stretched or seen in another way. */
function mayOverwrite(writer: Node, state: Value): boolean {
  return writer.inputs.every(
    (input) =>
      memoryOf(input) !== state ||
      (input === state && writer.op.elementwise === true && sameShape(state.type.shape, writer.outputs[0]!.type.shape)),
  );
}

function addDependencies(graph: Graph): Graph {
  const readersOf = readers(graph);
  const order = new Order();
  /** For a node: inputs that have to wait, and the nodes that they wait for. */
  const waits = new Map<Node, Map<Value, Set<Node>>>();
  /** For a state: the nodes that its new contents wait for before they are copied into it. */
  const copied = new Map<string, readonly Node[]>();

  for (const [state, value] of graph.updates) {
    const writer = value.producer!;
    const before = order.before(writer);
    const late = readersOfMemory(state, readersOf).filter((reader) => reader !== writer && !before.has(reader));
    // A dependency that another one depends on says nothing new.
    const needed = late.filter((reader) => !late.some((other) => order.before(other).has(reader)));
    if (needed.length === 0) continue;
    const gate = findGate(writer, needed, order);
    if (gate === undefined) {
      copied.set(state.name, needed);
      continue;
    }
    order.add(gate.node, needed);
    const held = waits.get(gate.node) ?? new Map<Value, Set<Node>>();
    held.set(gate.input, new Set([...(held.get(gate.input) ?? []), ...needed]));
    waits.set(gate.node, held);
  }

  const copies = new Map<Node, readonly Value[]>();
  const known = new Map<string, Value>();
  const hold = (value: Value, dependencies: Iterable<Node>, into: Graph) => {
    const tokens = [...dependencies].flatMap((node) => copies.get(node)!);
    const key = [value, ...tokens].map(({ id }) => id).join();
    const held = known.get(key) ?? into.scope("in-place", () => tokens.reduce(after, value));
    known.set(key, held);
    return held;
  };
  const rewriter: Rewriter = {
    node(node, inputs, into) {
      const held = waits.get(node);
      const ready = node.inputs.map((input, i) => {
        const dependencies = held?.get(input);
        return dependencies === undefined ? inputs[i]! : hold(inputs[i]!, dependencies, into);
      });
      const outputs = into.copy(node, ready);
      copies.set(node, outputs);
      return outputs;
    },
    update(state, value, into) {
      const dependencies = copied.get(state.name);
      return dependencies === undefined ? value : hold(value, dependencies, into);
    },
  };
  return rewrite(graph, rewriter, order.sorted(graph.nodes));
}

/** Nodes that read the memory of a state: itself, or through a view of it, or through what the engine may fuse with them. */
function readersOfMemory(value: Value, readersOf: ReadonlyMap<Value, readonly Node[]>): Node[] {
  return (readersOf.get(value) ?? []).flatMap((reader) =>
    reader.op.view === true || isFused(reader) ? [reader, ...readersOfMemory(reader.outputs[0]!, readersOf)] : [reader],
  );
}

/** The engine makes a scale by a number, and a transposition, part of the products that follow, which then read the state. */
function isFused({ op: { name }, inputs }: Node): boolean {
  if (name === "transpose" || name === "cast") return true;
  return (name === "mul" || name === "div") && inputs.some(({ type }) => type.shape.every(({ size }) => size === 1));
}

/**
 * A node at or above `writer` that may wait, because no dependency is computed from it, and has a scalar among its inputs,
 * which costs nothing to hold back.
 */
function findGate(writer: Node, dependencies: readonly Node[], order: Order): { node: Node; input: Value } | undefined {
  const mayWait = (node: Node) =>
    !dependencies.some((dependency) => dependency === node || order.before(dependency).has(node));
  const seen = new Set<Node>();
  let level = [writer].filter(mayWait);
  while (level.length > 0) {
    for (const node of level) {
      const input = node.inputs.find(({ type }) => type.shape.length === 0);
      if (input !== undefined) return { node, input };
      seen.add(node);
    }
    const above = new Set(level.flatMap((node) => node.inputs.flatMap(({ producer }) => producer ?? [])));
    level = [...above].filter((node) => !seen.has(node) && mayWait(node));
  }
  return undefined;
}

/** What comes before what: by data, and by dependencies that are added. */
class Order {
  readonly #added = new Map<Node, Set<Node>>();
  #known = new Map<Node, ReadonlySet<Node>>();

  /** @param dependencies none of which may come after `node` */
  add(node: Node, dependencies: Iterable<Node>): void {
    this.#added.set(node, new Set([...(this.#added.get(node) ?? []), ...dependencies]));
    this.#known.clear();
  }

  /** Nodes that run before `node`. */
  before(node: Node): ReadonlySet<Node> {
    const known = this.#known.get(node);
    if (known !== undefined) return known;
    const found = new Set<Node>();
    const stack = this.#direct(node);
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      if (found.has(next)) continue;
      found.add(next);
      stack.push(...this.#direct(next));
    }
    // Sets as large as the graph: a few of them are asked for again, thousands would fill the memory.
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(node, found);
    return found;
  }

  /** `nodes`, each after those that come before it, and otherwise as they are. */
  sorted(nodes: readonly Node[]): Node[] {
    const done = new Set<Node>();
    const visit = (start: Node) => {
      const stack = [start];
      while (stack.length > 0) {
        const node = stack.at(-1)!;
        const missing = done.has(node) ? [] : this.#direct(node).filter((other) => !done.has(other));
        if (missing.length > 0) stack.push(...missing);
        else done.add(stack.pop()!);
      }
    };
    nodes.forEach(visit);
    return [...done];
  }

  #direct(node: Node): Node[] {
    return [...node.inputs.flatMap(({ producer }) => producer ?? []), ...(this.#added.get(node) ?? [])];
  }
}
