/**
 * `gradient-order-child.js ORDER SIZES`: prints by how many bytes this process's resident memory grows, at its peak, when
 * the gradients are computed. Engine, session and inputs are there before; a small run has warmed up the code.
 */
import { ortDevice } from "../src/runtime/node/device-node.ts";
import type { Executable } from "../src/runtime/runtime.ts";
import { peakBytes, resetPeak } from "../src/runtime/node/process-memory-node.ts";
import { gradientGraph, type GradientOrder, type LoraSizes, writeInputs } from "./gradient-order.ts";

const order = process.argv[2] as GradientOrder;
const sizes = JSON.parse(process.argv[3]!) as LoraSizes;
const device = await ortDevice();

async function compiled(size: LoraSizes): Promise<Executable> {
  await writeInputs(device, size);
  return device.compile(gradientGraph(order, size), { reassociate: false });
}

await (await compiled({ out: 64, in: 48, r: 4, b: 8 })).run({});
const executable = await compiled(sizes);
await resetPeak();
const before = process.memoryUsage.rss();
await executable.run({});
process.stdout.write(String((await peakBytes()) - before));
await device.dispose();
