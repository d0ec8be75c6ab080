/** How fast this machine reads memory: what bounds the generation of one text, which reads every weight for every token. */
import { Graph } from "../../ir/graph.ts";
import { reduceSum } from "../../ir/ops/reduce-sum.ts";
import { shapeOf } from "../../ir/shape.ts";
import type { Device } from "../../runtime/runtime.ts";

/** 512 MiB: far more than caches hold. Enough rows for all threads. */
const SHAPE = [1024, 131_072] as const;
const STATE = "bandwidth";
const RUNS = 8;

/** Bytes per second, with all threads of the device: the best of some sums over a large array. */
export async function memoryBandwidth(device: Device): Promise<number> {
  const [rows, columns] = SHAPE;
  const graph = new Graph();
  const x = graph.state(STATE, { dtype: "float32", shape: shapeOf(SHAPE) });
  graph.output("sums", reduceSum(x, [1]));
  // Ones: pages that were never written are all one page of zeros.
  await device.write(STATE, { dtype: "float32", shape: SHAPE, data: new Float32Array(rows * columns).fill(1) });
  const executable = await device.compile(graph);
  let best = Infinity;
  for (let i = 0; i < RUNS; i++) {
    const start = performance.now();
    await executable.run({});
    best = Math.min(best, (performance.now() - start) / 1000);
  }
  await executable.dispose();
  await device.free(STATE);
  return (rows * columns * Float32Array.BYTES_PER_ELEMENT) / best;
}
