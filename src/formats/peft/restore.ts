/** Puts saved values back into an adapter that is there already. */
import type { Adapter } from "../../adapters/adapter.ts";
import { FormatError, listed } from "../../errors.ts";
import type { Device } from "../../runtime/runtime.ts";
import { quote } from "../safetensors/strict-json.ts";
import { tensorKeys } from "./tensor-keys.ts";
import { openWeights } from "./weights.ts";

/**
 * Reads what {@link saveAdapter} wrote for this very adapter, bit for bit, into its states.
 * @throws FormatError naming every tensor that is missing or has another shape
 */
export async function restoreAdapter(device: Device, adapter: Adapter, dir: string): Promise<void> {
  const weights = await openWeights(dir);
  try {
    const wanted = tensorKeys(adapter);
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
