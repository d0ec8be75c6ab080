/** The tensors of a checkpoint of any architecture, read one by one as float32. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { allocate } from "../ir/dtype.ts";
import { bitsandbytesView, type QuantizedWeight } from "../formats/model/bitsandbytes.ts";
import { contentHash } from "../formats/model/content-hash.ts";
import { isFloatDtype } from "../formats/safetensors/dtype.ts";
import { type Checkpoint, openCheckpoint, type TensorEntry } from "../formats/safetensors/index.ts";
import type { Located } from "./locate.ts";

/** A tensor as an analysis sees it. */
export interface WeightEntry {
  readonly name: string;
  readonly shape: readonly number[];
  /** As in the file: F32, F16, BF16, F64; NF4 and the like of what bitsandbytes quantised. */
  readonly dtype: string;
  /** Whether it can be read as float32. */
  readonly isReadable: boolean;
}

export interface CheckpointWeights {
  /** As it was given. */
  readonly name: string;
  readonly kind: "model" | "file";
  readonly dir: string | undefined;
  /** `model_type` of config.json; undefined where there is none. */
  readonly modelType: string | undefined;
  readonly tensors: ReadonlyMap<string, WeightEntry>;
  readonly files: readonly string[];
  /** Elements as they are stored, row-major. */
  read(name: string): Promise<Float32Array>;
  /** As they lie in the file. */
  bytes(name: string): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** @throws FormatError if a file does not follow its format */
export async function openWeights(located: Located & { readonly kind: "model" | "file" }): Promise<CheckpointWeights> {
  const { kind, name } = located;
  const checkpoint = await openCheckpoint(kind === "model" ? located.dir : located.path);
  try {
    const { tensors, weights } = await bitsandbytesView(checkpoint);
    const dir = kind === "model" ? located.dir : undefined;
    return {
      name,
      kind,
      dir,
      modelType: dir === undefined ? undefined : await modelTypeOf(dir),
      files: checkpoint.files,
      tensors: new Map(
        [...tensors].map(([tensor, { shape, dtype }]) => {
          const quantized = weights.get(tensor)?.weight.storage.name.toUpperCase();
          return [
            tensor,
            {
              name: tensor,
              shape,
              dtype: quantized ?? dtype,
              isReadable: quantized !== undefined || isFloatDtype(dtype),
            },
          ];
        }),
      ),
      async read(tensor) {
        const quantized = weights.get(tensor);
        return quantized === undefined ? checkpoint.readFloat32(tensor) : decoded(checkpoint, quantized);
      },
      bytes: (tensor) => checkpoint.read(tensor),
      close: () => checkpoint.close(),
    };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

/** Of all files together: that of a single file is its own. */
export async function hashOf(files: readonly string[], signal?: AbortSignal): Promise<string> {
  const hashes: string[] = [];
  for (const file of files) hashes.push(await contentHash(file, signal === undefined ? {} : { signal }));
  if (hashes.length === 1) return hashes[0]!;
  const all = createHash("sha256");
  for (const [i, hash] of hashes.entries()) all.update(`${basename(files[i]!)} ${hash}\n`);
  return all.digest("hex");
}

/** What a weight stands for that bitsandbytes quantised. */
async function decoded(
  checkpoint: Checkpoint,
  { weight: { storage, shape, options }, tensors }: QuantizedWeight,
): Promise<Float32Array> {
  const parts: Record<string, ReturnType<typeof allocate>> = {};
  for (const { name, dtype, shape: size } of storage.tensors(shape, options)) {
    const at = tensors[name]!;
    if (!isEntry(at)) {
      parts[name] = at;
      continue;
    }
    const data = allocate(
      dtype,
      size.reduce((a, b) => a * b, 1),
    );
    new Uint8Array(data.buffer).set(await checkpoint.read(at.name));
    parts[name] = data;
  }
  return storage.decode(parts, shape, options);
}

function isEntry(at: QuantizedWeight["tensors"][string]): at is TensorEntry {
  return "byteOffset" in at && "path" in at;
}

/** Nothing depends on it: a broken config.json is no reason not to look at the weights. */
async function modelTypeOf(dir: string): Promise<string | undefined> {
  try {
    const config = JSON.parse(await readFile(join(dir, "config.json"), "utf8")) as Readonly<Record<string, unknown>>;
    const type = config["model_type"];
    return typeof type === "string" ? type : undefined;
  } catch {
    return undefined;
  }
}
