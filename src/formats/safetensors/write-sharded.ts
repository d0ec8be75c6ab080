/**
 * Writes a checkpoint that is split over several files, under the names that Hugging Face libraries look for.
 */
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { FormatError } from "../../errors.ts";
import { checkLayout } from "./encode-header.ts";
import { asFormatError } from "./source.ts";
import { quote } from "./strict-json.ts";
import { commitAll, stageFile, stageSafetensors } from "./writer.ts";
import type { StagedFile, TensorToWrite, WriteOptions } from "./writer.ts";

/** 5 GB, as Hugging Face libraries split: small enough for any file system and for a download to be resumed. */
const DEFAULT_SHARD_BYTES = 5e9;

export interface ShardedOptions extends WriteOptions {
  /** Most bytes of data in one file; a tensor that is larger gets a file of its own. Default: 5e9. */
  readonly maxShardBytes?: number;
}

/**
 * Writes `model-00001-of-0000N.safetensors`, … and `model.safetensors.index.json` into a folder, or only
 * `model.safetensors` when one file is enough. Tensors go to the files in the order in which they are given.
 *
 * Every file is whole on the disk before the first takes its name; then files of an earlier checkpoint under these names
 * are removed. When a file cannot be written in full, the folder is as it was.
 *
 * @param dir the folder; it is made if it does not exist.
 * @returns names of the files, the index last.
 * @throws FormatError as writeSafetensors, and when `maxShardBytes` is not positive.
 */
export async function writeSharded(
  dir: string,
  tensors: Iterable<TensorToWrite>,
  { maxShardBytes = DEFAULT_SHARD_BYTES, ...options }: ShardedOptions = {},
): Promise<string[]> {
  if (!(maxShardBytes > 0)) {
    throw new FormatError({
      where: dir,
      what: "maxShardBytes is not a size",
      got: maxShardBytes,
      expected: "bytes, more than 0",
    });
  }
  const { shards, totalBytes } = split([...tensors], maxShardBytes, dir);
  await mkdir(dir, { recursive: true }).catch((error: unknown) => {
    throw asFormatError(error, dir, "cannot be made");
  });
  const count = String(shards.length).padStart(5, "0");
  const names = shards.map((_, index) =>
    shards.length === 1 ? "model.safetensors" : `model-${String(index + 1).padStart(5, "0")}-of-${count}.safetensors`,
  );
  const staged: StagedFile[] = [];
  try {
    for (const [index, shard] of shards.entries()) {
      staged.push(await stageSafetensors(join(dir, names[index] ?? ""), shard, options));
    }
    if (shards.length > 1) {
      const index = encodeIndex(shards, names, totalBytes);
      names.push("model.safetensors.index.json");
      staged.push(await stageFile(join(dir, "model.safetensors.index.json"), (write) => write(index)));
    }
  } catch (error) {
    await Promise.all(staged.map((file) => file.discard()));
    throw error;
  }
  await commitAll(staged);
  await removeStale(dir, new Set(names));
  return names;
}

function split(
  tensors: readonly TensorToWrite[],
  maxShardBytes: number,
  dir: string,
): { shards: TensorToWrite[][]; totalBytes: number } {
  const shards: TensorToWrite[][] = [[]];
  const seen = new Set<string>();
  let shardBytes = 0;
  let totalBytes = 0;
  for (const tensor of tensors) {
    const bytes = checkLayout(tensor, dir);
    // Here and not only in each file: two shards must not have the same name either.
    if (seen.has(tensor.name)) {
      throw new FormatError({
        where: dir,
        what: `two tensors have the name ${quote(tensor.name)}`,
        hint: "give each tensor a name of its own",
      });
    }
    seen.add(tensor.name);
    if (shardBytes + bytes > maxShardBytes && shards.at(-1)?.length !== 0) {
      shards.push([]);
      shardBytes = 0;
    }
    shards.at(-1)?.push(tensor);
    shardBytes += bytes;
    totalBytes += bytes;
  }
  return { shards, totalBytes };
}

/** The index, with sorted names as Hugging Face libraries write it. */
function encodeIndex(shards: readonly TensorToWrite[][], names: readonly string[], totalBytes: number): Uint8Array {
  const places = shards.flatMap((shard, index) => shard.map(({ name }) => [name, names[index]] as const));
  places.sort(([a], [b]) => (a < b ? -1 : 1));
  // fromEntries defines properties, so that a tensor called "__proto__" is one like any other.
  const index = { metadata: { total_size: totalBytes }, weight_map: Object.fromEntries(places) };
  return new TextEncoder().encode(`${JSON.stringify(index, null, 2)}\n`);
}

/** Removes what an earlier checkpoint left, which a reader could take for this one. */
async function removeStale(dir: string, current: ReadonlySet<string>): Promise<void> {
  const ours = /^model(-\d{5,}-of-\d{5,})?\.safetensors(\.index\.json)?$/;
  for (const name of await readdir(dir)) {
    if (ours.test(name) && !current.has(name)) await rm(join(dir, name), { force: true });
  }
}
