/** A model of text that was loaded from a folder, whatever it is for: what its kinds have in common. */
import { ConfigError } from "../errors.ts";
import type { ModelConfigFile, WeightDtype } from "../formats/model/config.ts";
import { loadWeights } from "../formats/model/weights.ts";
import { writeModel } from "../formats/model/write.ts";
import type { Provenance } from "../formats/peft/config.ts";
import type { JsonValue } from "../formats/peft/json-object.ts";
import { type HubProgress, resolveFolder } from "../hub/resolve.ts";
import { familyOf } from "../models/index.ts";
import type { RopeStretch } from "../models/stretch-positions.ts";
import type { Task, TextModel } from "../models/text-model.ts";
import { countElements } from "../nn/module.ts";
import { initializeParameters } from "../parameters.ts";
import type { StoredParameters } from "../quant/index.ts";
import { ortDevice } from "../runtime/node/device-node.ts";
import type { Device, EngineDevice } from "../runtime/runtime.ts";
import type { ChooseAdapters } from "./forward.ts";
import { LanguageModel } from "./language-model.ts";
import { chosenStorage, storageOfParameters, type StorageSettings } from "./quantization.ts";
import { readModel } from "./read-model.ts";
import { storedDevice } from "./stored-device.ts";
import { type Trainable, weightsTrainable } from "./trainable.ts";

export interface HubOptions {
  /** Branch, tag or commit on the hub. Default: `main`. */
  readonly revision?: string;
  /** Downloads nothing. Default: `HF_HUB_OFFLINE`. */
  readonly offline?: boolean;
  /** Default: the cache that Python's libraries use. */
  readonly cacheDir?: string;
  /** Default: `HF_TOKEN`, or the one that was logged in with. */
  readonly token?: string;
  /** Called for each piece of a download that arrives. */
  readonly onDownload?: (progress: HubProgress) => void;
  readonly signal?: AbortSignal;
}

export interface FromPretrainedOptions extends HubOptions, StorageSettings {
  /** Where the model runs. Default: "cpu". */
  readonly device?: EngineDevice | Device;
  /** Threads of the engine. Default: one per core. */
  readonly threads?: number;
  /** Stretches positions where rows are longer than the model was made for; a saved model has them then. Default: as they are. */
  readonly ropeScaling?: RopeStretch;
  /** Random weights instead of those of the files, drawn from this seed. Default: those of the files. */
  readonly randomSeed?: number;
  /** Called while narrow weights are made float32, with bytes. */
  readonly onConvert?: (doneBytes: number, totalBytes: number) => void;
}

/** Names of {@link FromPretrainedOptions}, for callers in plain JavaScript. */
export const FROM_PRETRAINED = {
  revision: true,
  offline: true,
  cacheDir: true,
  token: true,
  onDownload: true,
  signal: true,
  device: true,
  threads: true,
  ropeScaling: true,
  randomSeed: true,
  onConvert: true,
  storage: true,
  doubleQuantization: true,
  quantizationConfig: true,
} as const satisfies Record<keyof FromPretrainedOptions, true>;

export interface SavePretrainedOptions {
  /** Precision of the stored weights. Default: that of the files it was loaded from. */
  readonly dtype?: WeightDtype;
  /** Bytes of a file at most. Default: 5e9. */
  readonly maxShardBytes?: number;
  readonly onProgress?: (elements: number, totalElements: number) => void;
}

/** What a loaded model consists of. */
export interface PretrainedParts {
  readonly language: LanguageModel;
  readonly config: ModelConfigFile;
  readonly dir: string;
  readonly nameOrPath: string;
  readonly defaultTargets: readonly string[];
  /** Parameters that the files do not have, and that were drawn. */
  readonly newlyInitialized: readonly string[];
  readonly ownsDevice: boolean;
}

export abstract class PretrainedModel<Input = never, Output = unknown> {
  /** The model with its graphs and adapters. */
  readonly language: LanguageModel;
  readonly config: ModelConfigFile;
  /** The folder that it was loaded from. */
  readonly dir: string;
  /** As it was asked for: a path, or a name on the hub. */
  readonly nameOrPath: string;
  /** Layers that adapters are put on when nothing is said, as in PEFT. */
  readonly defaultTargets: readonly string[];
  /** Parameters that the files do not have, such as those of a new head: they start at random. */
  readonly newlyInitialized: readonly string[];
  readonly #ownsDevice: boolean;

  protected constructor(parts: PretrainedParts) {
    this.language = parts.language;
    this.config = parts.config;
    this.dir = parts.dir;
    this.nameOrPath = parts.nameOrPath;
    this.defaultTargets = parts.defaultTargets;
    this.newlyInitialized = parts.newlyInitialized;
    this.#ownsDevice = parts.ownsDevice;
  }

  /** What `adapter_config.json` says that the model is for. */
  abstract get adapterTask(): Pick<Provenance, "taskType" | "autoMapping">;

  /** `forward` with the adapters that are chosen for each row. */
  abstract forwardWith(input: Input, choose: ChooseAdapters): Promise<Output>;

  /** What the model gives for rows of tokens, and the loss if labels are given. Adapters that are on {@link language} are off. */
  async forward(input: Input): Promise<Output> {
    return this.forwardWith(input, () => []);
  }

  /** All weights of the model, for a {@link Trainer}: full fine-tuning. @param names only these parameters */
  trainable(names?: ReadonlySet<string>): Trainable {
    return weightsTrainable(this, names);
  }

  /** Number of parameters; a table that two layers share counts once. */
  numParameters(): number {
    return countElements(this.language.model.parameters);
  }

  /** Writes the model as transformers does: safetensors, config, tokenizer. @throws as `writeModel` */
  async savePretrained(dir: string, options: SavePretrainedOptions = {}): Promise<void> {
    const { device, model, parameters, tied } = this.language;
    const { dtype = this.config.dtype ?? "float32", maxShardBytes, onProgress } = options;
    // Merging an adapter into one of two layers that share a table gives each its own. Nothing is shared then in the files.
    const untied = isUntied(model, tied);
    const specs = new Map(parameters.map((spec) => [spec.name, spec]));
    const alike = untied ? Object.entries(tied).map(([name, source]) => ({ ...specs.get(source)!, name, source })) : [];
    await writeModel(dir, {
      tensors: [...parameters.map((spec) => ({ ...spec, source: spec.name })), ...alike].map(
        ({ name, shape, source }) => ({
          name,
          shape,
          read: async () => (await device.read(source)).data as Float32Array,
        }),
      ),
      dtype,
      config: { ...this.configFields(), ...(untied ? { tie_word_embeddings: false } : {}) },
      copyFrom: [this.dir],
      ...(maxShardBytes === undefined ? {} : { shardBytes: maxShardBytes }),
      ...(onProgress === undefined ? {} : { onProgress }),
    });
  }

  /** What `config.json` of a saved model says. */
  get savedConfig(): Readonly<Record<string, JsonValue>> {
    return this.configFields();
  }

  /** The same, to be extended by models for other tasks. */
  protected configFields(): Readonly<Record<string, JsonValue>> {
    return this.config.floatFields;
  }

  /** Frees what was compiled and, unless the device was given, the device with everything on it. */
  async dispose(): Promise<void> {
    await this.language.dispose();
    if (this.#ownsDevice) await this.language.device.dispose();
  }
}

/** The name of transformers' class, such as `Qwen2ForSequenceClassification`. @param ending such as `ForMaskedLM` */
export function architecture({ modelType }: ModelConfigFile, ending: string): string {
  return `${familyOf(modelType).className}${ending}`;
}

export interface LoadPretrainedOptions extends FromPretrainedOptions {
  readonly taskOf: (config: ModelConfigFile) => Task;
  /** Seed of parameters that the files do not have and need not have. Default: 0. */
  readonly headSeed?: number;
}

/**
 * @throws ConfigError if the architecture or the storage is not supported, FormatError if a file is not what it should be, DataError if
 *   the model is not found
 */
export async function loadPretrained(nameOrPath: string, options: LoadPretrainedOptions): Promise<PretrainedParts> {
  const { dir } = await resolveFolder(nameOrPath, { kind: "model", ...hubOptions(options) });
  const { randomSeed, ropeScaling, taskOf, headSeed = 0, device: wanted = "cpu", threads } = options;
  const { model, config, match, defaultTargets } = await readModel(dir, {
    random: randomSeed !== undefined,
    taskOf,
    ...(ropeScaling === undefined ? {} : { stretch: ropeScaling }),
  });
  const chosen = chosenStorage(options);
  const ownsDevice = typeof wanted === "string";
  const device = ownsDevice
    ? await ortDevice({ device: wanted, ...(threads === undefined ? {} : { threads }) })
    : wanted;
  try {
    if (randomSeed !== undefined && chosen !== undefined) {
      throw new ConfigError({
        where: "storage",
        what: "random weights are not stored in another way",
        got: chosen.storage.name,
        hint: "leave the storage out: what starts from random weights has to train them",
      });
    }
    let stored: StoredParameters = new Map();
    let newlyInitialized: readonly string[] = [];
    if (randomSeed === undefined) {
      const loaded = await loadWeights(device, model.parameters, dir, {
        ...match,
        ...(chosen === undefined ? {} : { storageOf: storageOfParameters(model, chosen) }),
        ...(options.onConvert === undefined ? {} : { onProgress: options.onConvert }),
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
      stored = loaded.stored;
      newlyInitialized = loaded.missing;
      const missing = new Set(newlyInitialized);
      await initializeParameters(
        device,
        model.parameters.filter(({ name }) => missing.has(name)),
        headSeed,
      );
    } else {
      await initializeParameters(device, model.parameters, randomSeed);
    }
    const language = languageModel(device, model, stored);
    return { language, config, dir, nameOrPath, defaultTargets, newlyInitialized, ownsDevice };
  } catch (error) {
    if (ownsDevice) await device.dispose();
    throw error;
  }
}

/** @throws ConfigError if the device cannot compute with stored weights */
function languageModel(device: Device, model: TextModel, stored: StoredParameters): LanguageModel {
  if (stored.size === 0) return new LanguageModel(device, model);
  if (device.kind !== "cpu" && device.kind !== "interp") {
    throw new ConfigError({
      where: "storage",
      what: "weights in other types than float32 are computed with on the CPU alone",
      got: device.kind,
      hint: 'use the device "cpu", or the storage float32',
    });
  }
  const { device: outer, weights, parameters } = storedDevice(device, stored);
  return new LanguageModel(outer, model, weights, parameters);
}

function isUntied({ tied: before }: TextModel, now: Readonly<Record<string, string>>): boolean {
  return Object.keys(before).some((name) => !Object.hasOwn(now, name));
}

export function hubOptions({ revision, offline, cacheDir, token, onDownload, signal }: HubOptions): {
  revision?: string;
  offline?: boolean;
  cacheDir?: string;
  token?: string;
  onProgress?: (progress: HubProgress) => void;
  signal?: AbortSignal;
} {
  return {
    ...(revision === undefined ? {} : { revision }),
    ...(offline === undefined ? {} : { offline }),
    ...(cacheDir === undefined ? {} : { cacheDir }),
    ...(token === undefined ? {} : { token }),
    ...(onDownload === undefined ? {} : { onProgress: onDownload }),
    ...(signal === undefined ? {} : { signal }),
  };
}
