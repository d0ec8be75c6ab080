/**
 * Tensors of a narrow type, once converted to float32 and kept in a file of the cache: `float32/<key>/`, see
 * tensor-cache.ts. The key is that of the source files as they are now: a changed source has another. A file that anything
 * has touched since is read and compared with its checksums; if they differ it is made anew.
 */
import { createHash } from "node:crypto";
import { type Checkpoint, decodeFloat32, type TensorEntry } from "../safetensors/index.ts";
import type { StoredParameter } from "./match.ts";
import { fileState, tensorCache, type TensorCacheOptions } from "./tensor-cache.ts";

const VERSION = 1;
/** Elements that are converted at a time. */
const CHUNK_ELEMENTS = 2 ** 22;

export interface Float32CacheOptions extends TensorCacheOptions {
  /** Called for each piece that is converted. */
  readonly onProgress?: (bytes: number, totalBytes: number) => void;
}

/**
 * The tensors as float32 in a file, converted unless an earlier call has done it.
 * @returns where they are, by their stored names
 * @throws DataError if the disk has too little space, FormatError if reading or writing fails, the reason of `signal`
 */
export async function float32Cache(
  checkpoint: Checkpoint,
  tensors: readonly StoredParameter[],
  options: Float32CacheOptions = {},
): Promise<ReadonlyMap<string, TensorEntry>> {
  const byName = new Map(tensors.map((tensor) => [tensor.stored, tensor]));
  const totalBytes = float32Bytes(tensors);
  let done = 0;
  async function* converted({ stored, dtype, shape, byteLength }: StoredParameter): AsyncGenerator<Uint8Array> {
    const elements = shape.reduce((a, b) => a * b, 1);
    const width = byteLength / Math.max(elements, 1);
    const values = new Float32Array(Math.min(elements, CHUNK_ELEMENTS));
    for (let start = 0; start < elements; start += CHUNK_ELEMENTS) {
      options.signal?.throwIfAborted();
      const end = Math.min(start + CHUNK_ELEMENTS, elements);
      const target = values.subarray(0, end - start);
      decodeFloat32(dtype, await checkpoint.readRange(stored, start * width, end * width), target);
      yield new Uint8Array(target.buffer, 0, target.byteLength);
      done += target.byteLength;
      options.onProgress?.(done, totalBytes);
    }
  }
  return tensorCache(
    {
      kind: "float32",
      what: "the float32 copy of the weights",
      version: VERSION,
      key: await keyOf(checkpoint, tensors),
      source: checkpoint.path,
      tensors: tensors.map(({ stored, shape }) => ({ name: stored, dtype: "F32", shape })),
      fill: ({ name }) => converted(byName.get(name)!),
    },
    options,
  );
}

async function keyOf(checkpoint: Checkpoint, tensors: readonly StoredParameter[]): Promise<string> {
  const files = await Promise.all(checkpoint.files.map(async (path) => [path, await fileState(path)]));
  const layout = tensors.map(({ stored, dtype, shape, path, byteOffset }) => [stored, dtype, shape, path, byteOffset]);
  const text = JSON.stringify([VERSION, files, layout]);
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}

/** Bytes that the tensors have as float32. */
export function float32Bytes(tensors: readonly Pick<StoredParameter, "shape">[]): number {
  return tensors.reduce((sum, { shape }) => sum + 4 * shape.reduce((a, b) => a * b, 1), 0);
}
