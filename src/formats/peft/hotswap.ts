/** Hot swap from a folder: see adapters/hotswap.ts. */
import type { Adapter } from "../../adapters/adapter.ts";
import type { AdaptableModel } from "../../adapters/copies.ts";
import { hotswapAdapter } from "../../adapters/hotswap.ts";
import { freeAdapter } from "../../adapters/initialize.ts";
import type { Device } from "../../runtime/runtime.ts";
import { loadAdapter } from "./load.ts";

/**
 * Puts the numbers of the adapter in a folder into the states of one that is on the device.
 * @returns warnings about what was ignored, in sentences for a person
 * @throws FormatError if it cannot be loaded, ConfigError if there is no room for it. Nothing has changed then
 */
export async function hotswap(
  device: Device,
  model: AdaptableModel,
  existing: Adapter,
  dir: string,
): Promise<readonly string[]> {
  // No name that a person gives has this in it.
  const { adapter, warnings } = await loadAdapter(device, model, dir, { name: `${existing.name}/incoming` });
  try {
    await hotswapAdapter(device, existing, adapter);
  } catch (error) {
    await freeAdapter(device, adapter);
    throw error;
  }
  return warnings;
}
