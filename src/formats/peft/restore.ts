/**
 * An adapter's states in a checkpoint, and back into an adapter that is there already. A file that another program reads
 * may lack some of them (what is dropped, pruned or converted on saving): then they are in a file of their own, too.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { type Adapter, adapterStates, methodStates } from "../../adapters/adapter.ts";
import { FormatError, listed } from "../../errors.ts";
import type { ParameterSpec } from "../../nn/module.ts";
import type { Device } from "../../runtime/runtime.ts";
import { openSafetensors } from "../safetensors/reader.ts";
import { quote } from "../safetensors/strict-json.ts";
import { writeSafetensors } from "../safetensors/writer.ts";
import { packCall } from "./pack.ts";
import { tensorKeys } from "./tensor-keys.ts";
import { openWeights } from "./weights.ts";

/** Every state by its name in memory, as it is. */
export const STATES_FILE = "adapter_states.safetensors";

/**
 * Writes the states of an adapter whose file does not hold all of them; of another one nothing. What the method makes again is
 * left out: the adapter that they are read into has it.
 */
export async function saveStates(device: Device, adapter: Adapter, dir: string): Promise<void> {
  const states = ownStates(adapter);
  const held = new Set([...tensorKeys(adapter).values()].map(({ name }) => name));
  const packed = await adapter.method.file?.pack?.(packCall(device, adapter));
  if (packed === undefined && states.every(({ name }) => held.has(name))) return;
  await writeSafetensors(
    join(dir, STATES_FILE),
    states.map(({ name, shape }) => ({
      name,
      dtype: "F32" as const,
      shape,
      data: async () => (await device.read(name)).data,
    })),
  );
}

function ownStates(adapter: Adapter): readonly ParameterSpec[] {
  const made = [...methodStates(adapter), ...adapter.copies.values()].filter(({ derived }) => derived === true);
  const names = new Set(made.map(({ name }) => name));
  return adapterStates(adapter).filter(({ name }) => !names.has(name));
}

/**
 * Reads what `saveAdapter` and {@link saveStates} wrote for this very adapter, bit for bit, into its states.
 * @throws FormatError naming every tensor that is missing or has another shape
 */
export async function restoreAdapter(device: Device, adapter: Adapter, dir: string): Promise<void> {
  const path = join(dir, STATES_FILE);
  const isWhole = (await stat(path).catch(() => undefined)) !== undefined;
  const weights = isWhole ? await openSafetensors(path) : await openWeights(dir);
  try {
    const wanted: ReadonlyMap<string, ParameterSpec> = isWhole
      ? new Map(ownStates(adapter).map((spec) => [spec.name, spec]))
      : tensorKeys(adapter);
    const problems = [...wanted].flatMap(([key, { shape }]) => {
      const found = weights.tensors.get(key);
      if (found === undefined) return [`${quote(key)} is missing`];
      return found.shape.join() === shape.join() ? [] : [`${quote(key)} is [${found.shape.join(", ")}]`];
    });
    if (problems.length > 0) {
      throw new FormatError({ where: weights.path, what: `is not of this adapter: ${listed(problems)}` });
    }
    for (const [key, { name, shape }] of wanted) {
      await device.write(name, { dtype: "float32", shape, data: await weights.readFloat32(key) });
    }
  } finally {
    await weights.close();
  }
}
