/** How the base was stored while an adapter was trained, as the run wrote it down beside the adapter. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { readRunConfig } from "../../config/index.ts";
import { storageSettings } from "../../config/storage.ts";
import { LowrankError } from "../../errors.ts";
import type { StorageSettings } from "../../lm/quantization.ts";

const FILE = "training_args.yaml";

export interface TrainedStorage {
  readonly settings: StorageSettings;
  /** What a person should know. */
  readonly notes: readonly string[];
}

/** @param adapters folders, or names on the hub, which say nothing of it */
export async function trainedStorage(adapters: readonly string[]): Promise<TrainedStorage> {
  for (const adapter of adapters) {
    const path = join(adapter, FILE);
    const isThere = await stat(path).then(
      (found) => found.isFile(),
      () => false,
    );
    if (!isThere) continue;
    try {
      const { config } = await readRunConfig(path, [], "train");
      const settings = storageSettings(config);
      if (settings.storage === undefined || settings.storage === "float32") continue;
      return { settings, notes: [`${path}: the adapter was trained on weights stored as ${settings.storage}`] };
    } catch (error) {
      // Other programs have files of this name.
      if (!(error instanceof LowrankError)) throw error;
    }
  }
  return { settings: {}, notes: [] };
}
