/** What an export is asked for, and what it says on the way. */
import type { WeightDtype } from "../formats/model/config.ts";
import type { RopeStretch } from "../models/stretch-positions.ts";
import type { HubOptions } from "./pretrained-model.ts";
import type { StorageSettings } from "./quantization.ts";
import type { Against } from "./storage-cost.ts";

export interface ExportOptions extends HubOptions, StorageSettings {
  /** Folder of the base, or its name on the hub. */
  readonly model: string;
  /** Folders of adapters, or their names on the hub; merged one after the other. None: the model is only rewritten. */
  readonly adapters: readonly string[];
  /** Folder to write. */
  readonly out: string;
  /**
   * What the adapters are merged into, where `storage` says that they were trained on stored weights, or the base is a
   * quantised checkpoint: the values that the storage stands for, which are what was trained, or the checkpoint's own.
   * Default: "dequantised".
   */
  readonly against?: Against;
  /** Type of the stored weights. Default: that of the base. */
  readonly dtype?: WeightDtype;
  /** Positions of the base, if they were stretched for training. Default: as they are. */
  readonly ropeScaling?: RopeStretch;
  /** Bytes of a file at most. Default: 5e9. */
  readonly maxShardBytes?: number;
  /** LLaMA-Factory's name of the chat template, for models that have none of their own. */
  readonly template?: string;
  /** Whether the result is compared with what was trained. Default: true. */
  readonly check?: boolean;
  /** Prompts of the comparison. Default: {@link CHECK_PROMPTS}. */
  readonly prompts?: readonly string[];
  /** Tokens that are generated after each prompt. Default: 16. */
  readonly newTokens?: number;
  /** Largest |Δlogit| of the files that passes, in place of the limits of the type. */
  readonly threshold?: number;
  /** Threads of the engine. Default: one per core. */
  readonly threads?: number;
  readonly onProgress?: (progress: ExportProgress) => void;
}

export interface ExportProgress {
  readonly phase: "hash" | "convert" | "write" | "check";
  readonly done: number;
  readonly total: number;
  readonly unit: "B" | "parameters" | "texts";
}
