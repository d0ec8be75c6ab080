/**
 * Weights of a checkpoint in a storage (quant/), made tensor by tensor and kept in the cache: `stored/<key>/`, see
 * tensor-cache.ts. At most one weight is in memory. The key is that of the checkpoint's contents, of the storage and of its
 * options; the file is compared with its checksums at every start, and made anew if it is damaged.
 */
import { createHash } from "node:crypto";
import { NumericError } from "../../errors.ts";
import type { DType, TypedArray } from "../../ir/dtype.ts";
import { type StoredState, stateName, statesOf, type WeightStorage } from "../../quant/stored-model.ts";
import type { Checkpoint, Dtype, TensorEntry } from "../safetensors/index.ts";
import { contentHash } from "./content-hash.ts";
import type { Float32CacheOptions } from "./float32-cache.ts";
import type { StoredParameter } from "./match.ts";
import { tensorCache } from "./tensor-cache.ts";

/** Of the encodings: to be raised when one of them changes. */
const VERSION = 1;

export const WIRE_DTYPES: Readonly<Record<DType, Dtype>> = {
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
  float64: "F64",
  int64: "I64",
  int32: "I32",
  int8: "I8",
  uint8: "U8",
  uint32: "U32",
  bool: "BOOL",
};

export interface ParameterToStore {
  readonly parameter: StoredParameter;
  readonly weight: WeightStorage;
}

/**
 * The tensors of stored weights in a file, made unless an earlier call has done it.
 * @returns where they are, by the names of their states
 * @throws NumericError naming a weight that cannot be stored; as {@link tensorCache}
 */
export async function storedCache(
  checkpoint: Checkpoint,
  toStore: readonly ParameterToStore[],
  options: Float32CacheOptions = {},
): Promise<ReadonlyMap<string, TensorEntry>> {
  const owners = new Map<string, ParameterToStore>();
  const states: StoredState[] = [];
  for (const entry of toStore) {
    for (const state of statesOf(entry.parameter.name, entry.weight)) {
      owners.set(state.name, entry);
      states.push(state);
    }
  }
  const totalBytes = toStore.reduce((sum, { parameter }) => sum + parameter.byteLength, 0);
  let done = 0;
  let encoded: { readonly of: ParameterToStore; readonly tensors: Readonly<Record<string, TypedArray>> } | undefined;
  async function* fill(name: string): AsyncGenerator<Uint8Array> {
    const owner = owners.get(name)!;
    if (encoded?.of !== owner) {
      options.signal?.throwIfAborted();
      encoded = undefined;
      encoded = { of: owner, tensors: await encode(checkpoint, owner) };
      options.onProgress?.((done += owner.parameter.byteLength), totalBytes);
    }
    const [, data] = Object.entries(encoded.tensors).find(
      ([tensor]) => stateName(owner.parameter.name, { name: tensor }) === name,
    )!;
    yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
  const layouts = states.map(({ name, dtype, shape }) => ({ name, dtype: WIRE_DTYPES[dtype], shape }));
  const hashes = await Promise.all(checkpoint.files.map((path) => contentHash(path, options)));
  const sources = toStore.map(({ parameter, weight }) => [parameter.stored, weight.storage.name, weight.options]);
  const text = JSON.stringify([VERSION, hashes, sources, layouts]);
  return tensorCache(
    {
      kind: "stored",
      what: "the quantised copy of the weights",
      version: VERSION,
      key: createHash("sha256").update(text).digest("hex").slice(0, 32),
      source: checkpoint.path,
      alwaysCheck: true,
      tensors: layouts,
      fill: ({ name }) => fill(name),
    },
    options,
  );
}

/** The tensors of one weight. @throws NumericError naming the parameter */
export async function encode(
  checkpoint: Checkpoint,
  { parameter, weight: { storage, shape, options } }: ParameterToStore,
): Promise<Readonly<Record<string, TypedArray>>> {
  const values = await checkpoint.readFloat32(parameter.stored);
  try {
    return storage.encode(values, shape, options);
  } catch (error) {
    if (!(error instanceof NumericError)) throw error;
    throw new NumericError({ ...error.problem, where: `${checkpoint.path}: ${parameter.name}` });
  }
}
