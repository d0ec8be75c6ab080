/**
 * `gradient-order-child.js ORDER SIZES`: prints by how many bytes this process's resident memory grows, at its peak, when
 * the gradients are computed. Engine, session and inputs are there before; a small run has warmed up the code.
 */
import { writeFile } from "node:fs/promises";
import { ortDevice } from "../src/runtime/node/device-node.ts";
import type { Executable } from "../src/runtime/runtime.ts";
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
// In kibibytes, on every system.
process.stdout.write(String(process.resourceUsage().maxRSS * 1024 - before));
await device.dispose();

/** Linux can forget the peak so far. Elsewhere what was freed before the run may hide a part of what the run needs. */
async function resetPeak(): Promise<void> {
  try {
    await writeFile("/proc/self/clear_refs", "5");
  } catch {
    // Not Linux.
  }
}
