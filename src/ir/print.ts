/** A graph as text: one line per node, with named dimensions. */
import { Graph, type Node, type Value } from "./graph.ts";
import type { Type } from "./op.ts";
import { printShape } from "./shape.ts";

/**
 * ```text
 * feed   x: float32[B, I=3072]
 * state  fc1.weight: float32[O=4096, I=3072]
 * fc1    %4: float32[B, O=4096] = matmul(x, fc1.weight) {transB: true}
 * update fc1.weight <- %90
 * output loss = %12
 * ```
 */
export function printGraph(graph: Graph): string {
  const rows: [string, string][] = [];
  for (const { kind, value } of graph.inputs) rows.push([kind, `${value.name}: ${printType(value.type)}`]);
  for (const node of graph.nodes) rows.push([node.scope, printNode(node)]);
  for (const [state, value] of graph.updates) rows.push(["update", `${state.name} <- ${ref(value)}`]);
  for (const [name, value] of graph.outputs) rows.push(["output", `${name} = ${ref(value)}`]);
  const width = Math.max(0, ...rows.map(([head]) => head.length));
  return rows.map(([head, rest]) => `${head.padEnd(width)}  ${rest}\n`).join("");
}

export function printType(type: Type): string {
  return `${type.dtype}${printShape(type.shape)}`;
}

function printNode(node: Node): string {
  const outputs = node.outputs.map((value) => `${ref(value)}: ${printType(value.type)}`).join(", ");
  // The type says the shape and the data type, and what is off is not worth a word.
  const attrs = Object.entries(node.attrs)
    .filter(([key, value]) => key !== "shape" && key !== "dtype" && value !== false)
    .map(([key, value]) => `${key}: ${printAttr(value)}`);
  const tail = attrs.length === 0 ? "" : ` {${attrs.join(", ")}}`;
  const mark = node.recomputes === undefined ? "" : ` # recomputes region ${node.recomputes}`;
  return `${outputs} = ${node.op.name}(${node.inputs.map(ref).join(", ")})${tail}${mark}`;
}

function ref(value: Value): string {
  return value.producer === undefined ? value.name : `%${value.id}`;
}

function printAttr(value: unknown): string {
  if (value instanceof Graph) return `{\n${printGraph(value)}}`;
  if (Array.isArray(value) && value.every((d) => typeof d === "object" && d !== null && "name" in d)) {
    return printShape(value);
  }
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
