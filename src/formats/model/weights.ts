/**
 * The weights of a checkpoint, onto a device. Float32 tensors stay in their file, which the engine maps. Others are
 * converted, exactly (but for float64): small models in memory, larger ones once, into a file that is mapped like the rest.
 */
import { FormatError } from "../../errors.ts";
import type { ParameterSpec } from "../../nn/module.ts";
import type { Device } from "../../runtime/runtime.ts";
import { type Checkpoint, openCheckpoint } from "../safetensors/index.ts";
import { float32Bytes, float32Cache, type Float32CacheOptions } from "./float32-cache.ts";
import { type MatchOptions, matchTensors, type Matched } from "./match.ts";

/** Up to this many bytes of float32, converting at each start costs less than a second copy on the disk. */
const IN_MEMORY_BYTES = 256 * 2 ** 20;

/** Bytes that are compared at a time. */
const COMPARE_BYTES = 2 ** 24;

export interface LoadWeightsOptions extends MatchOptions, Float32CacheOptions {
  /** Most bytes of float32 that are converted into memory rather than into the cache. Default: 256 MiB. */
  readonly inMemoryBytes?: number;
}

/** Where the weights are now. */
export interface LoadedWeights {
  /** Parameters that are mapped from the checkpoint, converted into memory, and mapped from the cache. */
  readonly mapped: number;
  readonly inMemory: number;
  readonly cached: number;
  /** Stored buffers that were left out. */
  readonly ignored: readonly string[];
}

/**
 * Puts the weights of a checkpoint on the device, one state for each parameter, under its name.
 *
 * Names may lack the prefix of the decoder (`model.`, `transformer.`) or have it. A tied parameter may be stored under
 * either name or both.
 * @param path a folder with `model.safetensors` or its index, or one of these files
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
    const matched = matchTensors(checkpoint, parameters, options);
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
    const ready = matched.parameters.filter(({ dtype }) => canMap && dtype === "F32");
    const narrow = matched.parameters.filter((parameter) => !ready.includes(parameter));
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
    };
  } finally {
    await checkpoint.close();
  }
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
    return (await firstDifference(checkpoint, matchTensors(checkpoint, parameters, options))) !== undefined;
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
