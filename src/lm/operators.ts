/** The operators that a model executes: those of the graphs that its device is given, after all passes. */
import { type Graph, reachable, results } from "../ir/graph.ts";
import { optimize } from "../ir/passes/index.ts";
import { printType } from "../ir/print.ts";
import type { Device } from "../runtime/runtime.ts";

/** A device that keeps the graphs which are compiled on it. */
export interface NotingDevice extends Device {
  readonly graphs: readonly Graph[];
}

/** The same device, on which every compiled graph is kept. */
export function noteGraphs(device: Device): NotingDevice {
  const graphs: Graph[] = [];
  return {
    kind: device.kind,
    graphs,
    compile(graph, options) {
      graphs.push(graph);
      return device.compile(graph, options);
    },
    write: (name, tensor) => device.write(name, tensor),
    map: (name, tensor) => device.map(name, tensor),
    read: (name) => device.read(name),
    free: (name) => device.free(name),
    dispose: () => device.dispose(),
  };
}

/** What a graph executes, in order: `matmul float32[512, 64]`, after the passes that every graph goes through. */
export function operatorsOf(graph: Graph, device: Device["kind"]): string[] {
  const optimized = optimize(graph, { device: device === "interp" ? "cpu" : device, typicalSizes: {} });
  return reachable(optimized, results(optimized)).map(
    ({ op, outputs }) => `${op.name} ${outputs.map(({ type }) => printType(type)).join(", ")}`,
  );
}

/** How a list of operators differs from that of the base; all empty where it does not. */
export interface OperatorDifference {
  readonly extra: readonly string[];
  readonly missing: readonly string[];
  /** The same operators in another order. */
  readonly reordered: boolean;
}

export function compareOperators(base: readonly string[], other: readonly string[]): OperatorDifference {
  const extra = without(other, base);
  const missing = without(base, other);
  const isSameSet = extra.length === 0 && missing.length === 0;
  return { extra, missing, reordered: isSameSet && other.some((operator, i) => operator !== base[i]) };
}

/** Whether both lists are one. */
export function isSameList({ extra, missing, reordered }: OperatorDifference): boolean {
  return extra.length === 0 && missing.length === 0 && !reordered;
}

function without(list: readonly string[], taken: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const item of taken) left.set(item, (left.get(item) ?? 0) + 1);
  return list.filter((item) => {
    const count = left.get(item) ?? 0;
    left.set(item, count - 1);
    return count <= 0;
  });
}
