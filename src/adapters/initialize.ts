/** An adapter's states on a device: where they start, and when they are no longer needed. */
import type { Device } from "../runtime/runtime.ts";
import { Random, streamOf } from "../random.ts";
import { type Adapter, adapterStates } from "./adapter.ts";

/**
 * Gives an adapter's parameters their starting values: those of the method are drawn, each from a stream of its own, by its
 * name; copies have those of the base.
 * @param device with the base on it, if there are copies
 */
export async function initializeAdapter(device: Device, adapter: Adapter, seed: number): Promise<void> {
  for (const { name, shape, init } of adapter.targets.flatMap(({ states }) => [...states.values()])) {
    const length = shape.reduce((a, b) => a * b, 1);
    await device.write(name, { dtype: "float32", shape, data: init(new Random(seed, streamOf(name)), length) });
  }
  for (const copy of new Map([...adapter.copies.values()].map((each) => [each.name, each])).values()) {
    await device.write(copy.name, await device.read(copy.from));
  }
}

/** Takes an adapter's states off a device. */
export async function freeAdapter(device: Device, adapter: Adapter): Promise<void> {
  for (const { name } of adapterStates(adapter)) await device.free(name);
}
