/** Which operations of a graph the device has no kernels for. The engine only says that there are some. */
import { EngineError } from "../../errors.ts";
import { Graph, type Node, reachable, results, type Value } from "../../ir/graph.ts";
import { printShape } from "../../ir/shape.ts";

/** A node of a model cannot run on the device. */
export class NoKernelError extends EngineError {}

const MAX_LISTED = 10;

/**
 * Names the operations that stand in the way, by compiling each of them alone.
 * @param compiles whether the device compiles a graph
 */
export async function explainNoKernel(
  graph: Graph,
  device: string,
  compiles: (graph: Graph) => Promise<boolean>,
): Promise<EngineError> {
  const kinds = new Map<string, { nodes: Node[]; alone: Graph }>();
  for (const node of reachable(graph, results(graph))) {
    if (node.op.name === "constant") continue;
    const key = JSON.stringify([print(node), node.attrs]);
    const kind = kinds.get(key);
    if (kind === undefined) kinds.set(key, { nodes: [node], alone: isolated(node) });
    else kind.nodes.push(node);
  }
  const missing: Node[][] = [];
  for (const { nodes, alone } of kinds.values()) if (!(await compiles(alone))) missing.push(nodes);
  return describe(missing, device);
}

/** A graph of nothing but this node. Constants stay, since kernels may want to know them in advance. */
function isolated(node: Node): Graph {
  const graph = new Graph();
  const copies = new Map<Value, Value>();
  for (const input of node.inputs) {
    if (copies.has(input)) continue;
    const isConstant = input.producer?.op.name === "constant";
    copies.set(input, isConstant ? graph.copy(input.producer, [])[0]! : graph.feed(`input ${copies.size}`, input.type));
  }
  const outputs = graph.copy(
    node,
    node.inputs.map((input) => copies.get(input)!),
  );
  outputs.forEach((output, i) => graph.output(`output ${i}`, output));
  return graph;
}

/** `equal(int64[B, T], int64[])`. */
function print({ op, inputs, outputs }: Node): string {
  const types = (values: readonly Value[]) =>
    values.map(({ type }) => `${type.dtype}${printShape(type.shape)}`).join(", ");
  return inputs.length > 0 ? `${op.name}(${types(inputs)})` : `${op.name}() of ${types(outputs)}`;
}

function describe(missing: readonly Node[][], device: string): EngineError {
  if (missing.length === 0) {
    return new EngineError({
      where: device,
      what: "the engine would run a part of this graph on the CPU",
      hint: 'use the device "cpu"',
    });
  }
  const listed = missing.slice(0, MAX_LISTED).map((nodes) => {
    // The derivative of what has no scope is in "backward.".
    const [first = "", ...more] = new Set(nodes.map(({ scope }) => scope.replace(/\.$/, "")));
    const places = more.length === 0 ? "" : ` and ${more.length} more place${more.length === 1 ? "" : "s"}`;
    return print(nodes[0]!) + (first === "" ? "" : ` in ${first}${places}`);
  });
  if (missing.length > MAX_LISTED) listed.push(`${missing.length - MAX_LISTED} more`);
  const usesInt64 = missing.flat().some((node) => [...node.inputs, ...node.outputs].some(isInt64));
  return new EngineError({
    where: device,
    what: `${missing.length === 1 ? "1 operation of the graph has" : `${missing.length} operations of the graph have`} no kernel`,
    got: listed.join("; "),
    hint: `${usesInt64 ? "use int32 instead of int64, or " : "use "}the device "cpu"; docs/webgpu.md lists what runs where`,
  });
}

function isInt64({ type }: Value): boolean {
  return type.dtype === "int64";
}
