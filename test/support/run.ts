/** Runs a graph on a device from given states, as a training loop would. */
import type { Graph } from "../../src/ir/graph.ts";
import type { CompileOptions, Device, Feeds, Results, Tensor } from "../../src/runtime/runtime.ts";

export interface Run {
  /** Results of each run. */
  readonly results: readonly Results[];
  /** Contents of every state after the last run. */
  readonly states: Readonly<Record<string, Tensor>>;
}

/** @param feeds of each run */
export async function runGraph(
  device: Device,
  graph: Graph,
  states: Readonly<Record<string, Tensor>>,
  feeds: readonly Feeds[],
  options: CompileOptions = {},
): Promise<Run> {
  for (const [name, tensor] of Object.entries(states)) await device.write(name, tensor);
  const executable = await device.compile(graph, options);
  const results: Results[] = [];
  for (const given of feeds) results.push(await executable.run(given));
  const after: Record<string, Tensor> = {};
  for (const name of Object.keys(states)) after[name] = await device.read(name);
  await executable.dispose();
  for (const name of Object.keys(states)) await device.free(name);
  return { results, states: after };
}

export function float32(shape: readonly number[], data: ArrayLike<number>): Tensor {
  return { dtype: "float32", shape, data: Float32Array.from(data) };
}

/** float32 numbers between -1 and 1 that depend on `seed` only. */
export function noise(shape: readonly number[], seed: number): Tensor {
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0;
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
  return { dtype: "float32", shape, data };
}
