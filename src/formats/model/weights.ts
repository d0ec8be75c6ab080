/**
 * The weights of a checkpoint, onto a device. Float32 tensors stay in their file, which the engine maps. Others are
 * converted, exactly (but for float64): small models in memory, larger ones once, into a file that is mapped like the rest.
 * Weights that are to be in a storage (quant/) are states of its tensors, from a file of the cache; or from the checkpoint,
 * if it has them so.
 */
import { ConfigError, FormatError } from "../../errors.ts";
import { allocate, type TypedArray } from "../../ir/dtype.ts";
import type { ParameterSpec } from "../../nn/module.ts";
import { stateName, statesOf, type StoredParameters, type WeightStorage } from "../../quant/stored-model.ts";
import type { Device } from "../../runtime/runtime.ts";
import { type Checkpoint, openCheckpoint, type TensorEntry } from "../safetensors/index.ts";
import { bitsandbytesView, type QuantizedWeight } from "./bitsandbytes.ts";
import { float32Bytes, float32Cache, type Float32CacheOptions } from "./float32-cache.ts";
import { type MatchOptions, matchTensors, type Matched, type StoredParameter } from "./match.ts";
import { encode, storedCache, type ParameterToStore, WIRE_DTYPES } from "./stored-cache.ts";

/** Up to this many bytes of float32, converting at each start costs less than a second copy on the disk. */
const IN_MEMORY_BYTES = 256 * 2 ** 20;

/** Bytes that are compared at a time. */
const COMPARE_BYTES = 2 ** 24;

export interface LoadWeightsOptions extends MatchOptions, Float32CacheOptions {
  /** Most bytes of float32 that are converted into memory rather than into the cache. Default: 256 MiB. */
  readonly inMemoryBytes?: number;
  /** How a parameter is to be stored; undefined: as float32. What the checkpoint has quantised stays as it is. */
  readonly storageOf?: (parameter: ParameterSpec) => WeightStorage | undefined;
}

/** Where the weights are now. */
export interface LoadedWeights {
  /** Parameters that are mapped from the checkpoint, converted into memory, and mapped from the cache. */
  readonly mapped: number;
  readonly inMemory: number;
  readonly cached: number;
  /** Stored buffers and heads that were left out. */
  readonly ignored: readonly string[];
  /** Parameters that the checkpoint does not have and need not have: they have no values yet. */
  readonly missing: readonly string[];
  /** Parameters that are in storages: what graphs read them by. */
  readonly stored: StoredParameters;
}

/**
 * Puts the weights of a checkpoint on the device, one state for each parameter, under its name.
 *
 * Names may lack the prefix of the decoder (`model.`, `transformer.`) or have it. A tied parameter may be stored under
 * either name or both.
 * @param path a folder with `model.safetensors` or its index, or one of these files
 * @throws ConfigError if the checkpoint is quantised in another way than `storageOf` asks for
 * @throws FormatError if a file does not follow its format, if tensors are missing, unexpected or of another shape (all
 *   of them in one message), or if tied names are stored with different values; DataError as the cache
 */
export async function loadWeights(
  device: Device,
  parameters: readonly ParameterSpec[],
  path: string,
  options: LoadWeightsOptions = {},
): Promise<LoadedWeights> {
  const checkpoint = await openCheckpoint(path);
  try {
    const view = await bitsandbytesView(checkpoint);
    const matched = matchTensors({ path: checkpoint.path, tensors: view.tensors }, parameters, options);
    const differing = await firstDifference(checkpoint, matched);
    if (differing !== undefined) {
      throw new FormatError({
        where: checkpoint.path,
        what: `${differing.alias} and ${differing.of} are tied by config.json but stored with different values`,
        hint: 'set "tie_word_embeddings": false in config.json',
      });
    }
    // The reference interpreter maps nothing: it computes in float64.
    const canMap = device.kind !== "interp";
    const specs = new Map(parameters.map((spec) => [spec.name, spec]));
    const stored = new Map<string, WeightStorage>();
    const plain: StoredParameter[] = [];
    const toStore: ParameterToStore[] = [];
    for (const parameter of matched.parameters) {
      const quantized = view.weights.get(parameter.stored);
      const asked = options.storageOf?.(specs.get(parameter.name)!);
      if (quantized !== undefined && asked !== undefined && !isSameStorage(quantized.weight, asked)) {
        throw new ConfigError({
          where: checkpoint.path,
          what: "the checkpoint is quantised already, in another way than it is asked for",
          got: nameOf(quantized.weight),
          expected: nameOf(asked),
          hint: "leave the storage out, or load the model that it was made from",
        });
      }
      const weight = quantized?.weight ?? asked;
      if (weight === undefined) {
        plain.push(parameter);
        continue;
      }
      stored.set(parameter.name, weight);
      if (quantized !== undefined) await placeQuantized(device, checkpoint, parameter.name, quantized);
      else toStore.push({ parameter, weight });
    }
    await placeStored(device, checkpoint, toStore, options);
    const ready = plain.filter(({ dtype }) => canMap && dtype === "F32");
    const narrow = plain.filter((parameter) => !ready.includes(parameter));
    for (const { name, shape, path: file, byteOffset } of ready) {
      await device.map(name, { dtype: "float32", shape, path: file, byteOffset });
    }
    const { inMemoryBytes = IN_MEMORY_BYTES, onProgress, signal } = options;
    const totalBytes = float32Bytes(narrow);
    const toMemory = !canMap || totalBytes <= inMemoryBytes;
    if (toMemory) {
      let bytes = 0;
      for (const { name, stored, shape } of narrow) {
        signal?.throwIfAborted();
        const data = await checkpoint.readFloat32(stored);
        await device.write(name, { dtype: "float32", shape, data });
        onProgress?.((bytes += data.byteLength), totalBytes);
      }
    } else {
      const converted = await float32Cache(checkpoint, narrow, options);
      for (const { name, stored, shape } of narrow) {
        const { path: file, byteOffset } = converted.get(stored)!;
        await device.map(name, { dtype: "float32", shape, path: file, byteOffset });
      }
    }
    return {
      mapped: ready.length,
      inMemory: toMemory ? narrow.length : 0,
      cached: toMemory ? 0 : narrow.length,
      ignored: matched.ignored,
      missing: matched.missing,
      stored,
    };
  } finally {
    await checkpoint.close();
  }
}

/** Weights that are to be stored otherwise than the checkpoint has them. */
async function placeStored(
  device: Device,
  checkpoint: Checkpoint,
  toStore: readonly ParameterToStore[],
  options: LoadWeightsOptions,
): Promise<void> {
  if (device.kind === "interp") {
    for (const entry of toStore) {
      const tensors = await encode(checkpoint, entry);
      for (const { name, dtype, shape } of entry.weight.storage.tensors(entry.weight.shape, entry.weight.options)) {
        const state = stateName(entry.parameter.name, { name });
        await device.write(state, { dtype, shape, data: tensors[name]! });
      }
    }
    return;
  }
  // In the checkpoint as they are to be stored: read where they lie.
  const isThere = ({ parameter, weight: { storage } }: ParameterToStore) =>
    storage.plain !== undefined && WIRE_DTYPES[storage.plain] === parameter.dtype;
  const toMake = toStore.filter((entry) => !isThere(entry));
  const made = toMake.length === 0 ? undefined : await storedCache(checkpoint, toMake, options);
  for (const entry of toStore) {
    for (const { name, dtype, shape } of statesOf(entry.parameter.name, entry.weight)) {
      const { path, byteOffset } = isThere(entry) ? entry.parameter : made!.get(name)!;
      await device.map(name, { dtype, shape, path, byteOffset });
    }
  }
}

/** A weight that the checkpoint has quantised. */
async function placeQuantized(
  device: Device,
  checkpoint: Checkpoint,
  parameter: string,
  { weight: { storage, shape, options }, tensors }: QuantizedWeight,
): Promise<void> {
  for (const { name, dtype, shape: size } of storage.tensors(shape, options)) {
    const state = stateName(parameter, { name });
    const at = tensors[name]!;
    if (isEntry(at) && device.kind !== "interp") {
      await device.map(state, { dtype, shape: size, path: at.path, byteOffset: at.byteOffset });
      continue;
    }
    const data = isEntry(at)
      ? allocate(
          dtype,
          size.reduce((a, b) => a * b, 1),
        )
      : at;
    if (isEntry(at)) new Uint8Array(data.buffer).set(await checkpoint.read(at.name));
    await device.write(state, { dtype, shape: size, data });
  }
}

function isSameStorage(a: WeightStorage, b: WeightStorage): boolean {
  return nameOf(a) === nameOf(b);
}

function nameOf({ storage, options }: WeightStorage): string {
  return `${storage.name}${storage.hasConstants && options.doubleQuantization ? " with double quantisation" : ""}`;
}

function isEntry(tensor: TensorEntry | TypedArray): tensor is TensorEntry {
  return "byteOffset" in tensor && "path" in tensor;
}

/**
 * Whether a checkpoint stores, against its configuration, different values under names that are tied. As in transformers,
 * such a model is not tied: build it again with `tie_word_embeddings: false`.
 * @throws FormatError as {@link loadWeights}
 */
export async function storesUntied(
  parameters: readonly ParameterSpec[],
  path: string,
  options: MatchOptions,
): Promise<boolean> {
  const checkpoint = await openCheckpoint(path);
  try {
    const { tensors } = await bitsandbytesView(checkpoint);
    const matched = matchTensors({ path: checkpoint.path, tensors }, parameters, options);
    return (await firstDifference(checkpoint, matched)) !== undefined;
  } finally {
    await checkpoint.close();
  }
}

async function firstDifference(
  checkpoint: Checkpoint,
  { doubles }: Matched,
): Promise<Matched["doubles"][number] | undefined> {
  for (const double of doubles) if (!(await haveEqualBytes(checkpoint, double.alias, double.of))) return double;
  return undefined;
}

async function haveEqualBytes(checkpoint: Checkpoint, a: string, b: string): Promise<boolean> {
  const [one, other] = [checkpoint.tensors.get(a)!, checkpoint.tensors.get(b)!];
  if (one.dtype !== other.dtype || one.byteLength !== other.byteLength) return false;
  for (let begin = 0; begin < one.byteLength; begin += COMPARE_BYTES) {
    const end = Math.min(begin + COMPARE_BYTES, one.byteLength);
    const [left, right] = await Promise.all([checkpoint.readRange(a, begin, end), checkpoint.readRange(b, begin, end)]);
    if (Buffer.compare(left, right) !== 0) return false;
  }
  return true;
}
