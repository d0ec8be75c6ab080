/** A language model as transformers' users know it: `AutoModelForCausalLM.fromPretrained`, `forward`, `generate`. */
import { loadTokenizer, type Tokenizer } from "../data/text/index.ts";
import { ConfigError } from "../errors.ts";
import { type ModelConfigFile, readModelConfig, type WeightDtype } from "../formats/model/config.ts";
import { loadWeights, storesUntied } from "../formats/model/weights.ts";
import { writeModel } from "../formats/model/write.ts";
import { type HubProgress, resolveFolder } from "../hub/resolve.ts";
import type { CausalLm } from "../models/causal-lm.ts";
import { familyOf } from "../models/index.ts";
import { type RopeStretch, stretchedPositions } from "../models/stretch-positions.ts";
import { initializeParameters } from "../parameters.ts";
import type { StoredParameters } from "../quant/index.ts";
import { ortDevice } from "../runtime/node/device-node.ts";
import type { Device, EngineDevice } from "../runtime/runtime.ts";
import { type GenerateInput, generateFrom, type GenerateResult } from "./generate-input.ts";
import { type ForwardInput, type ForwardOutput, forwardRows } from "./forward.ts";
import { LanguageModel } from "./language-model.ts";
import { generationDefaults, type GenerationDefaults } from "./generation-defaults.ts";
import { chosenStorage, storageOfParameters, type StorageSettings } from "./quantization.ts";
import { storedDevice } from "./stored-device.ts";
import { checkOptions } from "./token-rows.ts";
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

const OPTIONS = {
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

export const AutoModelForCausalLM = {
  /**
   * Loads a model.
   * @param nameOrPath a folder with `config.json` and safetensors, or a name on the Hugging Face hub
   * @throws ConfigError if the architecture or the storage is not supported, FormatError if a file is not what it should be, DataError if
   *   the model is not found
   */
  async fromPretrained(nameOrPath: string, options: FromPretrainedOptions = {}): Promise<CausalLMModel> {
    checkOptions("fromPretrained", options, OPTIONS);
    return CausalLMModel.load(nameOrPath, options);
  },
};

export const AutoTokenizer = {
  /** Loads the tokenizer of a model: a folder, or a name on the hub. @throws as {@link loadTokenizer} */
  async fromPretrained(nameOrPath: string, options: HubOptions = {}): Promise<Tokenizer> {
    const { dir } = await resolveFolder(nameOrPath, { kind: "model", ...hubOptions(options) });
    return loadTokenizer(dir);
  },
};

export interface SavePretrainedOptions {
  /** Precision of the stored weights. Default: that of the files it was loaded from. */
  readonly dtype?: WeightDtype;
  /** Bytes of a file at most. Default: 5e9. */
  readonly maxShardBytes?: number;
  readonly onProgress?: (elements: number, totalElements: number) => void;
}

interface ModelParts extends Pick<
  CausalLMModel,
  "language" | "config" | "dir" | "nameOrPath" | "generation" | "defaultTargets"
> {
  readonly ownsDevice: boolean;
}

export class CausalLMModel {
  /** The model with its graphs and adapters. */
  readonly language: LanguageModel;
  readonly config: ModelConfigFile;
  /** The folder that it was loaded from. */
  readonly dir: string;
  /** As it was asked for: a path, or a name on the hub. */
  readonly nameOrPath: string;
  readonly generation: GenerationDefaults;
  /** Layers that adapters are put on when nothing is said, as in PEFT. */
  readonly defaultTargets: readonly string[];
  readonly #ownsDevice: boolean;

  private constructor(parts: ModelParts) {
    this.language = parts.language;
    this.config = parts.config;
    this.dir = parts.dir;
    this.nameOrPath = parts.nameOrPath;
    this.generation = parts.generation;
    this.defaultTargets = parts.defaultTargets;
    this.#ownsDevice = parts.ownsDevice;
  }

  static async load(nameOrPath: string, options: FromPretrainedOptions): Promise<CausalLMModel> {
    const { dir } = await resolveFolder(nameOrPath, { kind: "model", ...hubOptions(options) });
    const { model, config, storedName, defaultTargets } = await readModel(
      dir,
      options.randomSeed !== undefined,
      options.ropeScaling,
    );
    const chosen = chosenStorage(options);
    const { device: wanted = "cpu", threads } = options;
    const ownsDevice = typeof wanted === "string";
    const device = ownsDevice
      ? await ortDevice({ device: wanted, ...(threads === undefined ? {} : { threads }) })
      : wanted;
    try {
      if (options.randomSeed !== undefined && chosen !== undefined) {
        throw new ConfigError({
          where: "storage",
          what: "random weights are not stored in another way",
          got: chosen.storage.name,
          hint: "leave the storage out: what starts from random weights has to train them",
        });
      }
      let stored: StoredParameters = new Map();
      if (options.randomSeed === undefined) {
        ({ stored } = await loadWeights(device, model.parameters, dir, {
          tied: model.tied,
          ...(chosen === undefined ? {} : { storageOf: storageOfParameters(model, chosen) }),
          ...(storedName === undefined ? {} : { storedName }),
          ...(options.onConvert === undefined ? {} : { onProgress: options.onConvert }),
          ...(options.signal === undefined ? {} : { signal: options.signal }),
        }));
      } else {
        await initializeParameters(device, model.parameters, options.randomSeed);
      }
      const generation = await generationDefaults(dir);
      const language = languageModel(device, model, stored);
      return new CausalLMModel({ language, config, dir, nameOrPath, generation, defaultTargets, ownsDevice });
    } catch (error) {
      if (ownsDevice) await device.dispose();
      throw error;
    }
  }

  /** Logits of every token, and the loss if labels are given. Adapters that are on {@link language} are off. */
  async forward(input: ForwardInput): Promise<ForwardOutput> {
    return forwardRows(this.language, input, () => []);
  }

  /** Goes on from token ids. Settings that are not given are those of `generation_config.json`. */
  async generate(input: GenerateInput): Promise<GenerateResult> {
    return generateFrom(this.language, this.generation, input, () => []);
  }

  /** All weights of the model, for a {@link Trainer}: full fine-tuning. @param names only these parameters */
  trainable(names?: ReadonlySet<string>): Trainable {
    return weightsTrainable(this, names);
  }

  /** Number of parameters; a table that two layers share counts once. */
  numParameters(): number {
    return this.language.model.parameters.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  }

  /** Writes the model as transformers does: safetensors, config, tokenizer. @throws as `writeModel` */
  async savePretrained(dir: string, options: SavePretrainedOptions = {}): Promise<void> {
    const { device, parameters, tied } = this.language;
    const { dtype = this.config.dtype ?? "float32", maxShardBytes, onProgress } = options;
    await writeModel(dir, {
      tensors: parameters.map(({ name, shape }) => ({
        name,
        shape,
        read: async () => (await device.read(name)).data as Float32Array,
      })),
      dtype,
      // Merging an adapter into one of two layers that share a table gives each its own.
      config: {
        ...this.config.floatFields,
        ...(isUntied(this.language.model, tied) ? { tie_word_embeddings: false } : {}),
      },
      copyFrom: [this.dir],
      ...(maxShardBytes === undefined ? {} : { shardBytes: maxShardBytes }),
      ...(onProgress === undefined ? {} : { onProgress }),
    });
  }

  /** Frees what was compiled and, unless the device was given, the device with everything on it. */
  async dispose(): Promise<void> {
    await this.language.dispose();
    if (this.#ownsDevice) await this.language.device.dispose();
  }
}

/** @throws ConfigError if the device cannot compute with stored weights */
function languageModel(device: Device, model: CausalLm, stored: StoredParameters): LanguageModel {
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

function isUntied({ tied: before }: CausalLm, now: Readonly<Record<string, string>>): boolean {
  return Object.keys(before).some((name) => !Object.hasOwn(now, name));
}

export interface ReadModel {
  readonly model: CausalLm;
  readonly config: ModelConfigFile;
  readonly defaultTargets: readonly string[];
  /** Name under which some checkpoints store a parameter. */
  readonly storedName?: (parameter: string) => string;
}

/**
 * The model that a folder describes, without its weights.
 * @param random the weights will be drawn, not read
 * @param stretch positions are stretched, where that is needed
 * @throws ConfigError if the architecture is not supported; FormatError naming everything that is wrong with config.json
 */
export async function readModel(dir: string, random = false, stretch?: RopeStretch): Promise<ReadModel> {
  let config = await readModelConfig(dir);
  const { modelType, fields, path } = config;
  const stretched = stretch === undefined ? {} : stretchedPositions(fields, stretch, path);
  if (stretch !== undefined) config = await readModelConfig(dir, stretched);
  if (modelType === "") {
    throw new ConfigError({
      where: config.path,
      what: "model_type is missing",
      hint: "is this the folder of a model?",
    });
  }
  const family = familyOf(modelType);
  let model = build();
  const naming = family.storedName === undefined ? {} : { storedName: family.storedName };
  if (!random && (await storesUntied(model.parameters, dir, { tied: model.tied, ...naming }))) {
    // Two tables where config.json says one: as transformers does, the head keeps its own.
    config = await readModelConfig(dir, { ...stretched, tie_word_embeddings: false });
    model = build();
  }
  return { model, config, defaultTargets: family.defaultTargets, ...naming };

  function build(): CausalLm {
    const built = family.build(config);
    config.check();
    return built;
  }
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
