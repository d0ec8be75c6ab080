/** Writes an adapter as PEFT does: a folder with `adapter_config.json` and `adapter_model.safetensors`. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Adapter } from "../../adapters/adapter.ts";
import type { Device } from "../../runtime/runtime.ts";
import { asFormatError } from "../safetensors/source.ts";
import { commitAll, stageFile, type StagedFile, stageSafetensors, type TensorToWrite } from "../safetensors/writer.ts";
import { CONFIG_FILE, configText, type Provenance } from "./config.ts";
import { packCall } from "./pack.ts";
import { copyKeys, tensorKeys } from "./tensor-keys.ts";
import { tablesToSave } from "./vocabulary.ts";

/** Name of the file with the tensors. */
export const WEIGHTS_FILE = "adapter_model.safetensors";

export interface SaveAdapterOptions extends Provenance {
  /**
   * `auto` writes the base's table with an adapter that targets `embed_tokens` or `lm_head`, as PEFT does: vocabulary ×
   * width × 4 bytes each. false leaves it out; PEFT reads such files just as well. Default: `auto`.
   */
  readonly saveEmbeddingLayers?: "auto" | false;
}

/**
 * Writes an adapter into a folder, which is made if need be. Both files are whole and on the disk before either takes its
 * name; if anything fails before that, an adapter that was there is as it was.
 *
 * PEFT leaves the dilation of a convolution out of its A, so that it cannot run an adapter on a dilated one.
 *
 * @param device holds the adapter's parameters, and the base's table where that is written
 * @throws FormatError if writing fails
 */
export async function saveAdapter(
  device: Device,
  adapter: Adapter,
  dir: string,
  { saveEmbeddingLayers = "auto", ...provenance }: SaveAdapterOptions = {},
): Promise<void> {
  try {
    await mkdir(dir, { recursive: true });
  } catch (error) {
    throw asFormatError(error, dir, "cannot be made");
  }
  const packed = await adapter.method.file?.pack?.(packCall(device, adapter));
  const states = packed === undefined ? tensorKeys(adapter) : copyKeys(adapter);
  const written = new Map([...states, ...(saveEmbeddingLayers === false ? [] : tablesToSave(adapter))]);
  const tensors = [
    ...[...(packed?.tensors ?? [])].map(([name, { shape, data }]): TensorToWrite => ({
      name,
      dtype: "F32",
      shape,
      data: async () => data,
    })),
    ...[...written].map(([name, spec]): TensorToWrite => {
      const data = async () => (await device.read(spec.name)).data;
      return { name, dtype: "F32", shape: spec.shape, data };
    }),
  ];
  const text = configText(adapter, provenance, packed?.settings);
  const staged: StagedFile[] = [];
  try {
    staged.push(await stageSafetensors(join(dir, WEIGHTS_FILE), tensors, { metadata: { format: "pt" } }));
    staged.push(await stageFile(join(dir, CONFIG_FILE), (write) => write(new TextEncoder().encode(text))));
  } catch (error) {
    await Promise.all(staged.map((file) => file.discard()));
    throw error;
  }
  // The configuration comes last: where it is, the weights are.
  await commitAll(staged);
}
