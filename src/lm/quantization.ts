/** In which storage the frozen weights of a model are to be: as users ask for it, and which parameters it concerns. */
import { ConfigError } from "../errors.ts";
import type { TextModel } from "../models/text-model.ts";
import type { ParameterSpec } from "../nn/module.ts";
import { type Storage, storageOf, type StorageOptions, type WeightStorage } from "../quant/index.ts";

/** As `BitsAndBytesConfig` of transformers, with its defaults. */
export interface QuantizationConfig {
  /** 8 bits for each weight. Default: false. */
  readonly loadIn8bit?: boolean;
  /** 4 bits for each weight. Default: false. */
  readonly loadIn4bit?: boolean;
  /** Levels of 4 bits. Default: "fp4", as in transformers; QLoRA uses "nf4". */
  readonly bnb4bitQuantType?: "nf4" | "fp4";
  /** The constants of blocks are stored in 8 bits too. Default: false. */
  readonly bnb4bitUseDoubleQuant?: boolean;
}

export interface StorageSettings {
  /** A name of the registry (`lowrank storages`), such as "nf4" or "bfloat16". Default: float32, or as the files have it. */
  readonly storage?: string;
  /** With `storage`: the constants of blocks are stored in 8 bits too. Default: false. */
  readonly doubleQuantization?: boolean;
  /** In the words of transformers, instead of `storage`. */
  readonly quantizationConfig?: QuantizationConfig;
}

export interface ChosenStorage {
  readonly storage: Storage;
  readonly options: StorageOptions;
}

/** @throws ConfigError if two are asked for, or one that there is not */
export function chosenStorage(settings: StorageSettings): ChosenStorage | undefined {
  const { storage, doubleQuantization = false, quantizationConfig } = settings;
  const names = [
    ...(storage === undefined ? [] : [storage]),
    ...(quantizationConfig?.loadIn8bit === true ? ["int8"] : []),
    ...(quantizationConfig?.loadIn4bit === true ? [quantizationConfig.bnb4bitQuantType ?? "fp4"] : []),
  ];
  if (names.length > 1) {
    throw new ConfigError({
      where: "quantizationConfig",
      what: "asks for two storages of the weights",
      got: names.join(", "),
    });
  }
  const [name] = names;
  if (name === undefined) return undefined;
  const chosen = storageOf(name);
  const options = {
    doubleQuantization: doubleQuantization || (quantizationConfig?.bnb4bitUseDoubleQuant ?? false),
  };
  return chosen.name === "float32" ? undefined : { storage: chosen, options };
}

/**
 * How each parameter is stored. A storage of `layers` leaves embeddings, norms, biases and the head alone, as bitsandbytes
 * does: they are few, and errors in them cost most.
 */
export function storageOfParameters(
  model: TextModel,
  { storage, options }: ChosenStorage,
): (parameter: ParameterSpec) => WeightStorage | undefined {
  const layers = model.layers.filter((layer) => layer.kind === "linear" && layer.isOutput !== true);
  const weights = new Set(layers.map(({ weight }) => weight));
  // Constants for single numbers would take more than the numbers.
  const isWorth = ({ shape }: ParameterSpec) => storage.plain !== undefined || shape.length >= 2;
  return (parameter) => {
    const isStored = weights.has(parameter.name) || (storage.covers === "all" && isWorth(parameter));
    return isStored ? { storage, options, shape: parameter.shape } : undefined;
  };
}
