/**
 * How much memory the values of a graph need at the same time, from its shapes: an exact count for one order of
 * execution, the one in which the graph was traced.
 *
 * Counted is what a run allocates: values between the inputs and the results, and the results. Not counted: inputs,
 * constants, and new states, which are written over the old ones. An engine is assumed to free a value after its last
 * reader, to let a reshaped value share the memory of the original, and to let an elementwise operation write over an
 * input that nobody reads afterwards; ONNX Runtime on CPU does all three. What its kernels use inside is not in it.
 */
import { elementBytes } from "./dtype.ts";
import { type Graph, type Node, reachable, results, type Value } from "./graph.ts";
import { sizeOfShape } from "./ndarray.ts";
import type { MapRowsAttrs } from "./ops/map-rows.ts";
import { type DimSizes, sizesOf } from "./shape.ts";

export interface PeakMemory {
  /** The most that is allocated at the same time, in bytes. */
  readonly bytes: number;
  /** The node that runs then; absent if nothing is allocated. */
  readonly node?: Node;
  /** What is allocated then, largest first. */
  readonly live: readonly { readonly name: string; readonly bytes: number }[];
}

/** Memory that one or several values have, one after the other. */
interface Buffer {
  /** The value for which it was allocated. */
  readonly name: string;
  readonly bytes: number;
  /** Reads that are still to come, of any value in it. */
  reads: number;
}

/**
 * @param sizes of the named dimensions
 * @throws ShapeError if a size that is needed is not given
 */
export function peakMemory(graph: Graph, sizes: DimSizes = {}): PeakMemory {
  const nodes = reachable(graph, results(graph));
  const reads = new Map<Value, number>();
  const readsOf = (value: Value) => reads.get(value) ?? 0;
  for (const node of nodes) for (const input of new Set(node.inputs)) reads.set(input, readsOf(input) + 1);
  // Results are never freed: one read more than there will be.
  for (const value of graph.outputs.values()) reads.set(value, readsOf(value) + 1);
  const inPlace = new Set(graph.updates.values());
  for (const value of graph.outputs.values()) inPlace.delete(value);

  const buffers = new Map<Value, Buffer>();
  const live = new Set<Buffer>();
  let bytes = 0;
  let peak: PeakMemory = { bytes: 0, live: [] };
  const allocate = (value: Value, buffer: Buffer) => {
    if (!live.has(buffer)) bytes += buffer.bytes;
    live.add(buffer);
    buffers.set(value, buffer);
    buffer.reads += readsOf(value);
  };
  const free = (buffer: Buffer) => {
    if (live.delete(buffer)) bytes -= buffer.bytes;
  };

  for (const node of nodes) {
    if (node.op.name === "constant") continue;
    const inputs = [...new Set(node.inputs)].flatMap((input) => buffers.get(input) ?? []);
    for (const buffer of inputs) buffer.reads--;
    for (const output of node.outputs) {
      if (inPlace.has(output)) continue;
      const size = sizeOfShape(sizesOf(output.type.shape, sizes)) * elementBytes(output.type.dtype);
      const buffer = sharedBuffer(node, size, buffers) ?? { name: output.name, bytes: size, reads: 0 };
      if (buffer !== OUTSIDE) allocate(output, buffer);
    }
    const inside = node.op.name === "mapRows" ? peakMemory((node.attrs as MapRowsAttrs).body, sizes).bytes : 0;
    if (bytes + inside > peak.bytes) {
      const shown = [...live].map(({ name, bytes: size }) => ({ name, bytes: size }));
      if (inside > 0) shown.push({ name: `inside ${node.outputs[0]!.name}`, bytes: inside });
      peak = { bytes: bytes + inside, node, live: shown.sort((a, b) => b.bytes - a.bytes) };
    }
    for (const buffer of inputs) if (buffer.reads === 0) free(buffer);
    for (const output of node.outputs) {
      const buffer = buffers.get(output);
      if (buffer?.reads === 0) free(buffer);
    }
  }
  return peak;
}

/** What is no run's to allocate: inputs, constants, new states. */
const OUTSIDE: Buffer = { name: "", bytes: 0, reads: 0 };

/** Memory of an input that the output can have; undefined if it needs its own. */
function sharedBuffer(node: Node, size: number, buffers: ReadonlyMap<Value, Buffer>): Buffer | undefined {
  if (node.op.name === "reshape") return buffers.get(node.inputs[0]!) ?? OUTSIDE;
  if (node.op.elementwise !== true) return undefined;
  // Other reads of an input are done, so that its buffer has none left.
  return node.inputs.map((input) => buffers.get(input)).find((buffer) => buffer?.reads === 0 && buffer.bytes === size);
}
