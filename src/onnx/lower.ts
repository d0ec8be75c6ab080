/** Lowers a graph to ONNX: every node by its operation's `onnx` rule. */
import { GraphError } from "../errors.ts";
import { type DType, elementsOf } from "../ir/dtype.ts";
import { type Graph, reachable, results, type Value } from "../ir/graph.ts";
import type { OnnxAttrs, OnnxEmitter } from "../ir/op.ts";
import type { ConstantAttrs } from "../ir/ops/constant.ts";
import { dim, type Dim, elementCount, sameDim, sameShape, type Shape } from "../ir/shape.ts";
import type { FileSlice, OnnxAttribute, OnnxGraph, OnnxNodeProto, OnnxTensor, OnnxValueInfo } from "./model.ts";

export interface LowerOptions {
  /** Whose kernels the nodes are chosen for; CUDA has those of the CPU. */
  readonly device: "cpu" | "webgpu";
  /** States that are compiled in as constants, by name: weights that no run changes. */
  readonly weights?: ReadonlyMap<string, Uint8Array | FileSlice>;
  /** Name of a first output that is a sequence; see runtime/node/in-place-node.ts. Absent: no such output. */
  readonly sentinel?: string;
}

/** An ONNX graph, and how its inputs and outputs correspond to those of the graph it was made from. */
export interface Lowered {
  readonly onnx: OnnxGraph;
  /** Inputs that carry sizes which are known only when the graph runs: name to shape. */
  readonly shapeInputs: ReadonlyMap<string, Shape>;
  /** Inputs that carry one such size, an int32 scalar. */
  readonly countInputs: ReadonlyMap<string, Dim>;
  /** Output names of the model for the graph's outputs, by the graph's names. */
  readonly outputs: ReadonlyMap<string, string>;
  /** Output names of the model for updates, by the state's name. */
  readonly updates: ReadonlyMap<string, string>;
}

export function lower(graph: Graph, options: LowerOptions): Lowered {
  const hidden: HiddenInputs = { shapes: new Map(), counts: new Map() };
  const names = new Names();
  const emitter = new Emitter(options.device, hidden, names);
  const weights = options.weights ?? new Map<string, Uint8Array | FileSlice>();
  const inputs: OnnxValueInfo[] = [];
  const { sentinel } = options;
  if (sentinel !== undefined) names.reserve(sentinel);
  for (const { value, kind } of graph.inputs) {
    names.reserve(value.name);
    emitter.bind(value, value.name);
    const data = kind === "state" ? weights.get(value.name) : undefined;
    if (data === undefined) inputs.push(info(value.name, value));
    else emitter.initializers.push({ name: value.name, dtype: value.type.dtype, shape: fixed(value), data });
  }
  emitter.graph(graph, results(graph));

  const outputs = new Map<string, string>();
  const updates = new Map<string, string>();
  const infos: OnnxValueInfo[] = [];
  if (sentinel !== undefined) {
    emitter.nodes("SequenceConstruct", [emitter.constant("float32", 0)], [sentinel]);
    infos.push({ name: sentinel, dtype: "float32", shape: [], sequence: true });
  }
  const publish = (wanted: string, value: Value) => {
    const name = names.unique(wanted);
    // A model's outputs are nodes' outputs, each under one name: inputs and shared values pass through a copy.
    emitter.node("Identity", [emitter.name(value)], {}, name);
    infos.push(info(name, value));
    return name;
  };
  // Updates are large: a node's output is published under its own name, once, instead of through a copy.
  const direct = new Set<Value>();
  for (const [state, value] of graph.updates) {
    const copied = value.producer === undefined || value.producer.op.name === "constant" || direct.has(value);
    if (!copied) {
      direct.add(value);
      infos.push(info(emitter.name(value), value));
    }
    updates.set(state.name, copied ? publish(`new/${state.name}`, value) : emitter.name(value));
  }
  for (const [name, value] of graph.outputs) outputs.set(name, publish(`out/${name}`, value));
  for (const [name, shape] of hidden.shapes) inputs.push({ name, dtype: "int64", shape: [dim(shape.length)] });
  for (const name of hidden.counts.keys()) inputs.push({ name, dtype: "int32", shape: [] });
  const published = new Set(infos.map(({ name }) => name));
  const onnx = {
    name: "graph",
    nodes: emitter.protos,
    initializers: emitter.initializers,
    inputs,
    outputs: infos,
    values: emitter.values.filter(({ name }) => !published.has(name)),
  };
  return { onnx, shapeInputs: hidden.shapes, countInputs: hidden.counts, outputs, updates };
}

/** Inputs that the graph does not have: sizes that are known only when it runs. */
interface HiddenInputs {
  readonly shapes: Map<string, Shape>;
  readonly counts: Map<string, Dim>;
}

function info(name: string, value: Value): OnnxValueInfo {
  return { name, dtype: value.type.dtype, shape: value.type.shape };
}

function fixed(value: Value): number[] {
  return value.type.shape.map((d) => d.size ?? 0);
}

class Emitter implements OnnxEmitter {
  readonly device: "cpu" | "webgpu";
  readonly protos: OnnxNodeProto[] = [];
  readonly initializers: OnnxTensor[] = [];
  readonly values: OnnxValueInfo[] = [];
  readonly #hidden: HiddenInputs;
  readonly #taken: Names;
  readonly #names = new Map<Value, string>();
  readonly #constants = new Map<string, string>();
  #scope = "";
  /** Of names in a body: they must not hide those around it. */
  #prefix = "";

  constructor(device: "cpu" | "webgpu", hidden: HiddenInputs, taken: Names) {
    this.device = device;
    this.#hidden = hidden;
    this.#taken = taken;
  }

  bind(value: Value, name: string): void {
    this.#names.set(value, name);
  }

  name(value: Value): string {
    const known = this.#names.get(value);
    if (known !== undefined) return known;
    const name = this.#taken.unique(`${this.#prefix}${value.name}`);
    this.#names.set(value, name);
    return name;
  }

  graph(graph: Graph, targets: readonly Value[]): void {
    for (const node of reachable(graph, targets)) {
      this.#scope = `${node.scope === "" ? "" : `${node.scope}/`}${node.op.name}`;
      if (node.op.name === "constant") {
        const { dtype, shape, values } = node.attrs as ConstantAttrs;
        this.bind(node.outputs[0]!, this.constant(dtype, values, shape));
        continue;
      }
      node.op.onnx(this, {
        inputs: node.inputs.map((input) => this.name(input)),
        outputs: node.outputs.map((output) => this.name(output)),
        inputTypes: node.inputs.map((input) => input.type),
        outputTypes: node.outputs.map((output) => output.type),
        attrs: node.attrs,
      });
      for (const output of node.outputs) this.values.push(info(this.name(output), output));
    }
  }

  node(opType: string, inputs: readonly string[], attrs: OnnxAttrs = {}, output?: string, domain = ""): string {
    const name = output ?? this.#fresh();
    this.nodes(opType, inputs, [name], attrs, domain);
    return name;
  }

  nodes(
    opType: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attrs: OnnxAttrs = {},
    domain = "",
  ): void {
    const lowered: Record<string, OnnxAttribute> = {};
    for (const [key, value] of Object.entries(attrs)) {
      lowered[key] =
        typeof value === "object" && "body" in value
          ? { graph: this.#body(value.body, value.inputs, inputs.slice(value.inputs)) }
          : value;
    }
    this.protos.push({
      opType,
      domain,
      name: this.#fresh(),
      inputs: bodyless(inputs, attrs),
      outputs,
      attrs: lowered,
    });
  }

  constant(dtype: DType, values: number | readonly number[], shape?: readonly number[]): string {
    const list = typeof values === "number" ? [values] : values;
    const dims = shape ?? (typeof values === "number" ? [] : [list.length]);
    const key = `${dtype}|${dims.join()}|${list.map((v) => (Object.is(v, -0) ? "-0" : v)).join()}`;
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const name = this.#taken.unique(`${this.#prefix}const`);
    this.#constants.set(key, name);
    this.initializers.push({ name, dtype, shape: dims, data: new Uint8Array(elementsOf(dtype, list).buffer) });
    return name;
  }

  shape(shape: Shape): string {
    if (shape.every((d) => d.size !== undefined)) {
      return this.constant(
        "int64",
        shape.map((d) => d.size!),
      );
    }
    const known = [...this.#hidden.shapes].find(([, other]) => sameShape(shape, other));
    if (known !== undefined) return known[0];
    const name = this.#taken.unique(`shape/${shape.map((d) => d.size ?? d.name).join(",")}`);
    this.#hidden.shapes.set(name, shape);
    return name;
  }

  count(shape: Shape): string {
    const count = elementCount(shape);
    if (count.size !== undefined) return this.constant("int32", count.size);
    const known = [...this.#hidden.counts].find(([, other]) => sameDim(count, other));
    if (known !== undefined) return known[0];
    const name = this.#taken.unique(`count/${count.name}`);
    this.#hidden.counts.set(name, count);
    return name;
  }

  #body(body: Graph, scanned: number, captured: readonly string[]): OnnxGraph {
    const inner = new Emitter(this.device, this.#hidden, this.#taken);
    const name = this.#taken.unique("body");
    inner.#prefix = `${name}/`;
    const inputs: OnnxValueInfo[] = [];
    body.inputs.forEach(({ value }, i) => {
      if (i >= scanned) return inner.bind(value, captured[i - scanned]!);
      inputs.push(info(inner.name(value), value));
    });
    const values = [...body.outputs.values()];
    inner.graph(body, values);
    const outputs = values.map((value) => info(inner.name(value), value));
    return { name, nodes: inner.protos, initializers: inner.initializers, inputs, outputs };
  }

  #fresh(): string {
    return this.#taken.unique(`${this.#prefix}${this.#scope}`);
  }
}

/** Names in a model, its bodies included: each stands for one thing. */
class Names {
  readonly #taken = new Set<string>();
  readonly #next = new Map<string, number>();

  /** @throws GraphError if the name is taken */
  reserve(name: string): void {
    if (name === "" || this.#taken.has(name)) {
      throw new GraphError({ where: name, what: "an input of a graph cannot have this name", hint: "rename it" });
    }
    this.#taken.add(name);
  }

  /** `wanted`, or `wanted` and a number. */
  unique(wanted: string): string {
    let name = wanted;
    for (let i = this.#next.get(wanted) ?? 1; this.#taken.has(name); i++) {
      name = `${wanted}:${i}`;
      this.#next.set(wanted, i + 1);
    }
    this.#taken.add(name);
    return name;
  }
}

/** Values that a body captures are found by name; only the scanned ones are inputs of the node. */
function bodyless(inputs: readonly string[], attrs: OnnxAttrs): readonly string[] {
  for (const value of Object.values(attrs)) {
    if (typeof value === "object" && "body" in value) return inputs.slice(0, value.inputs);
  }
  return inputs;
}
