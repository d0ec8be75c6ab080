/**
 * A graph is a list of nodes in the order in which they were traced, between inputs and outputs.
 *
 * Inputs are of two kinds: *feeds* are given at every run, *states* live in named buffers of the device (weights,
 * optimizer moments) and keep their contents between runs. An *update* says which value replaces a state when a run
 * ends.
 */
import { GraphError } from "../errors.ts";
import type { Attrs, Op, Type } from "./op.ts";
import { printShape, sameShape } from "./shape.ts";

/** A value in a graph: an input, or an output of a node. */
export interface Value {
  readonly graph: Graph;
  readonly id: number;
  readonly name: string;
  readonly type: Type;
  /** Absent on inputs of the graph. */
  readonly producer?: Node;
}

export interface Node {
  readonly id: number;
  readonly op: Op;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attrs: Attrs;
  /** Where the model was when it traced this node, such as `layers.0.mlp`. */
  readonly scope: string;
  /** Checkpointed region that this node belongs to: its results are not kept for the backward pass. */
  readonly region?: number;
  /** Set on nodes that compute a region again for the backward pass: they are never merged with the first ones. */
  readonly recomputes?: number;
}

export interface GraphInput {
  readonly kind: "feed" | "state";
  readonly value: Value;
}

export class Graph {
  readonly inputs: GraphInput[] = [];
  readonly nodes: Node[] = [];
  readonly outputs = new Map<string, Value>();
  /** State to the value that replaces it. */
  readonly updates = new Map<Value, Value>();
  #nextId = 0;
  #nextRegion = 1;
  #scopes: string[] = [];
  #region: number | undefined;
  #recomputes: number | undefined;
  /** Names of inputs. */
  readonly #names = new Set<string>();

  /** A tensor given at every run. @throws GraphError if the name is taken. */
  feed(name: string, type: Type): Value {
    return this.#input("feed", name, type);
  }

  /** A named buffer of the device. Asking again for the same name gives the same value. @throws GraphError */
  state(name: string, type: Type): Value {
    const known = this.inputs.find((input) => input.value.name === name && input.kind === "state")?.value;
    if (known === undefined) return this.#input("state", name, type);
    if (known.type.dtype !== type.dtype || !sameShape(known.type.shape, type.shape)) {
      throw new GraphError({
        where: name,
        what: "state is used with two types",
        got: `${type.dtype}${printShape(type.shape)}`,
        expected: `${known.type.dtype}${printShape(known.type.shape)}`,
      });
    }
    return known;
  }

  /** Makes `value` a result of every run. @throws GraphError if the name is taken. */
  output(name: string, value: Value): void {
    if (this.outputs.has(name)) throw new GraphError({ where: name, what: "the graph has two outputs of this name" });
    this.#own(value);
    this.outputs.set(name, value);
  }

  /** Replaces `state` by `value` when a run ends. @throws GraphError if the types differ or it is updated twice. */
  update(state: Value, value: Value): void {
    this.#own(value);
    if (this.inputs.find((input) => input.value === state)?.kind !== "state") {
      throw new GraphError({ where: state.name, what: "only a state can be updated" });
    }
    if (this.updates.has(state)) throw new GraphError({ where: state.name, what: "state is updated twice" });
    if (state.type.dtype !== value.type.dtype || !sameShape(state.type.shape, value.type.shape)) {
      throw new GraphError({
        where: state.name,
        what: "update has another type than its state",
        got: `${value.type.dtype}${printShape(value.type.shape)}`,
        expected: `${state.type.dtype}${printShape(state.type.shape)}`,
      });
    }
    this.updates.set(state, value);
  }

  /** Adds a node and returns its outputs. @throws ShapeError from the operation's `infer`. */
  apply<A extends Attrs>(op: Op<A>, inputs: readonly Value[], attrs: A): readonly Value[] {
    return this.#add(op, inputs, attrs, {
      scope: this.#scopes.join("."),
      ...(this.#region === undefined ? {} : { region: this.#region }),
      ...(this.#recomputes === undefined ? {} : { recomputes: this.#recomputes }),
    });
  }

  /** Adds a copy of a node of another graph, with its scope and marks, on other inputs. */
  copy(node: Node, inputs: readonly Value[]): readonly Value[] {
    return this.#add(node.op, inputs, node.attrs, node);
  }

  #add<A extends Attrs>(
    op: Op<A>,
    inputs: readonly Value[],
    attrs: A,
    { scope, region, recomputes }: Pick<Node, "scope" | "region" | "recomputes">,
  ): readonly Value[] {
    for (const input of inputs) this.#own(input);
    const types = op.infer(
      inputs.map((input) => input.type),
      attrs,
    );
    const outputs: Value[] = [];
    const node: Node = {
      id: this.#nextId++,
      op,
      inputs,
      outputs,
      attrs,
      scope,
      ...(region === undefined ? {} : { region }),
      ...(recomputes === undefined ? {} : { recomputes }),
    };
    for (const type of types) {
      const id = this.#nextId++;
      const name = `${scope === "" ? "" : `${scope}/`}${op.name}_${id}`;
      outputs.push({ graph: this, id, name, type, producer: node });
    }
    this.nodes.push(node);
    return outputs;
  }

  /** Runs `trace` with `name` added to the scope of the nodes that it makes. */
  scope<T>(name: string, trace: () => T): T {
    this.#scopes.push(name);
    try {
      return trace();
    } finally {
      this.#scopes.pop();
    }
  }

  /**
   * Runs `trace` as a checkpointed region: the backward pass computes its inner values again instead of keeping them
   * (Chen et al. 2016, arXiv 1604.06174). Regions do not nest.
   */
  checkpoint<T>(trace: () => T): T {
    if (this.#region !== undefined) throw new GraphError({ what: "checkpointed regions do not nest" });
    this.#region = this.#nextRegion++;
    try {
      return trace();
    } finally {
      this.#region = undefined;
    }
  }

  /**
   * Runs `trace`, whose inner values are cheap to compute and large to keep: as a checkpointed region of its own, or as a
   * part of the one that it is called in.
   */
  cheap<T>(trace: () => T): T {
    return this.#region === undefined ? this.checkpoint(trace) : trace();
  }

  /** Runs `trace` marking the nodes that it makes as a second computation of `region`. */
  recompute<T>(region: number, trace: () => T): T {
    this.#recomputes = region;
    try {
      return trace();
    } finally {
      this.#recomputes = undefined;
    }
  }

  /** Runs `trace` with the scope and the marks of `node`, for nodes that take its place in a copy of its graph. */
  insteadOf<T>(node: Node, trace: () => T): T {
    const [scopes, region, recomputes] = [this.#scopes, this.#region, this.#recomputes];
    this.#scopes = node.scope === "" ? [] : [node.scope];
    this.#region = node.region;
    this.#recomputes = node.recomputes;
    try {
      return trace();
    } finally {
      this.#scopes = scopes;
      this.#region = region;
      this.#recomputes = recomputes;
    }
  }

  #input(kind: GraphInput["kind"], name: string, type: Type): Value {
    if (this.#names.has(name)) throw new GraphError({ where: name, what: "the graph has two inputs of this name" });
    this.#names.add(name);
    const value: Value = { graph: this, id: this.#nextId++, name, type };
    this.inputs.push({ kind, value });
    return value;
  }

  #own(value: Value): void {
    if (value.graph !== this) {
      throw new GraphError({ where: value.name, what: "value belongs to another graph" });
    }
  }
}

/** Adds a node with one output. */
export function apply<A extends Attrs>(op: Op<A>, inputs: readonly Value[], attrs: A): Value {
  const graph = inputs[0]?.graph;
  if (graph === undefined) throw new GraphError({ where: op.name, what: "needs at least one input" });
  return graph.apply(op, inputs, attrs)[0]!;
}

/** Nodes that `targets` depend on, other than through `stops`, in the order in which they were traced. */
export function reachable(graph: Graph, targets: Iterable<Value>, stops: Iterable<Value> = []): Node[] {
  const seen = new Set<Node>();
  const ends = new Set(stops);
  const producers = (values: Iterable<Value>) =>
    [...values].flatMap((value) => (ends.has(value) ? [] : (value.producer ?? [])));
  const stack = producers(targets);
  while (stack.length > 0) {
    const node = stack.pop()!;
    if (seen.has(node)) continue;
    seen.add(node);
    stack.push(...producers(node.inputs));
  }
  return graph.nodes.filter((node) => seen.has(node));
}

/** Everything that a run must produce: outputs, then new states. */
export function results(graph: Graph): Value[] {
  return [...graph.outputs.values(), ...graph.updates.values()];
}
