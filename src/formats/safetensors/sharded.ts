/**
 * A checkpoint in one file or in several, as Hugging Face stores it, seen as one map of tensors.
 *
 *     model.safetensors                                            or
 *     model.safetensors.index.json   { "metadata": …, "weight_map": { tensor name: file name } }
 *     model-00001-of-00002.safetensors, …
 *
 * An index is a stranger's text that names files, so a shard is a plain file name and its real place is in the folder
 * of the index. One layout is let through beyond that: the Hugging Face cache, whose snapshots are links into the
 * `blobs` folder of the same repository.
 */
import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { FormatError } from "../../errors.ts";
import { MAX_HEADER_BYTES } from "./header.ts";
import type { TensorEntry } from "./header.ts";
import { convertHint } from "./other-formats.ts";
import { noSuchTensor, openSafetensors } from "./reader.ts";
import type { SafetensorsFile, TensorReader } from "./reader.ts";
import { asFormatError, FileSource } from "./source.ts";
import { quote, StrictJson } from "./strict-json.ts";

const SINGLE_FILE = "model.safetensors";
const INDEX_FILE = "model.safetensors.index.json";

const REFETCH = "the index is damaged or not one of safetensors files: check the path, or download it again";

/** Problems of one kind that a message lists before it only counts. */
const LISTED = 10;

/** Tensors of one or several files. Made by {@link openCheckpoint}. */
export class Checkpoint implements TensorReader {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** `__metadata__` of the files; where two files differ in a key, the file that the index names first has it. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Real paths of the files, in the order in which the index first names them. */
  readonly files: readonly string[];
  readonly #shards: ReadonlyMap<string, SafetensorsFile>;

  /** @param tensors each of an entry of one of `shards`. */
  constructor(path: string, shards: readonly SafetensorsFile[], tensors: ReadonlyMap<string, TensorEntry>) {
    this.path = path;
    this.tensors = tensors;
    this.files = shards.map((shard) => shard.path);
    this.metadata = mergedMetadata(shards);
    this.#shards = new Map(shards.map((shard) => [shard.path, shard]));
  }

  async read(name: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.#shardOf(name).read(name);
  }

  async readRange(name: string, begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.#shardOf(name).readRange(name, begin, end);
  }

  async readInto(name: string, target: ArrayBufferView): Promise<void> {
    return this.#shardOf(name).readInto(name, target);
  }

  async readFloat32(name: string): Promise<Float32Array<ArrayBuffer>> {
    return this.#shardOf(name).readFloat32(name);
  }

  async close(): Promise<void> {
    await closeAll(this.#shards.values());
  }

  #shardOf(name: string): SafetensorsFile {
    const shard = this.#shards.get(this.tensors.get(name)?.path ?? "");
    if (shard === undefined) throw noSuchTensor(this, name);
    return shard;
  }
}

/**
 * Opens a checkpoint and checks the header of each of its files. A sharded one keeps no file open until it is read
 * from; the descriptors are then kept until `close`.
 *
 * @param path a `.safetensors` file, an index (`….index.json`), or a folder that has `model.safetensors` or, failing
 *   that, `model.safetensors.index.json`.
 * @throws FormatError when a file does not follow its format, when an index names a file outside its folder, files that
 *   are missing or tensors that are not in their file (all of them in one message).
 */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  const file = await resolveFile(path);
  if (file.endsWith(".json")) return openIndex(file);
  const single = await openSafetensors(file);
  return new Checkpoint(single.path, [single], single.tensors);
}

/** The file to start from: the path itself, or the one that a folder offers. */
async function resolveFile(path: string): Promise<string> {
  let entries: string[];
  try {
    if (!(await stat(path)).isDirectory()) return path;
    entries = await readdir(path);
  } catch (error) {
    throw asFormatError(error, path, "cannot be read");
  }
  const found = [SINGLE_FILE, INDEX_FILE].find((name) => entries.includes(name));
  if (found !== undefined) return join(path, found);
  const others = entries.filter((name) => name.endsWith(".safetensors") || name.endsWith(".safetensors.index.json"));
  throw new FormatError({
    where: path,
    what: "this folder has no checkpoint",
    got: others.length === 0 ? "no .safetensors files" : listed(others.sort()),
    expected: `${SINGLE_FILE} or ${INDEX_FILE}`,
    hint: others.length === 0 ? convertHint(entries) : "give the path of one of these files",
  });
}

async function openIndex(path: string): Promise<Checkpoint> {
  const weightMap = parseIndex(await readIndex(path), path);
  // The folder of the path as given: in the Hugging Face cache the index itself is a link to somewhere else.
  const folder = await realpath(dirname(path));
  const paths = await resolveShards(new Set(weightMap.values()), folder, path);
  const shards = new Map<string, SafetensorsFile>();
  try {
    for (const [name, shardPath] of paths) {
      const shard = await openSafetensors(shardPath);
      shards.set(name, shard);
      await shard.release();
    }
    return new Checkpoint(folder, [...shards.values()], collectTensors(weightMap, shards, path));
  } catch (error) {
    await closeAll(shards.values());
    throw error;
  }
}

/** Text of an index, which has the size limit of a header: both hold one line per tensor. */
async function readIndex(path: string): Promise<string> {
  const { bytes } = await FileSource.at(path);
  if (bytes > MAX_HEADER_BYTES) {
    throw new FormatError({
      where: path,
      what: "the index is too long",
      got: `${bytes} bytes`,
      expected: `at most ${MAX_HEADER_BYTES}`,
      hint: REFETCH,
    });
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await readFile(path));
  } catch (error) {
    if (error instanceof TypeError && !("syscall" in error)) {
      throw new FormatError({ where: path, what: "the index is not UTF-8", hint: REFETCH, cause: error });
    }
    throw asFormatError(error, path, "cannot be read");
  }
}

/** Tensor name to shard name, in the order of the file. */
function parseIndex(text: string, path: string): Map<string, string> {
  const json: StrictJson = new StrictJson(text, path, REFETCH);
  let weightMap: Map<string, string> | undefined;
  json.object("the index", (key) => {
    if (key !== "weight_map") return json.skip(`${quote(key)} of the index`);
    const found = new Map<string, string>();
    json.object("weight_map", (name) => found.set(name, json.string(`the file of tensor ${quote(name)}`)));
    weightMap = found;
  });
  json.end();
  if (weightMap === undefined) {
    json.fail("the index has no weight_map", {});
  }
  return weightMap;
}

/** Real path of each shard, after every check that needs no shard to be opened. */
async function resolveShards(
  names: ReadonlySet<string>,
  folder: string,
  indexPath: string,
): Promise<Map<string, string>> {
  const roots = [folder, ...cacheBlobs(folder)];
  const paths = new Map<string, string>();
  const missing: string[] = [];
  for (const name of names) {
    checkShardName(name, indexPath);
    let path: string;
    try {
      path = await realpath(join(folder, name));
    } catch (error) {
      if (!(error instanceof Error) || !("code" in error) || error.code !== "ENOENT") {
        throw asFormatError(error, join(folder, name), "cannot be read");
      }
      missing.push(name);
      continue;
    }
    if (!roots.includes(dirname(path))) {
      throw new FormatError({
        where: indexPath,
        what: `shard ${quote(name)} is a link that leaves the folder`,
        got: path,
        expected: `a file in ${folder}`,
        hint: "put the file itself into the folder",
      });
    }
    paths.set(name, path);
  }
  if (missing.length > 0) {
    throw new FormatError({
      where: indexPath,
      what: `${missing.length} of ${names.size} shards are missing`,
      got: listed(missing),
      hint: `download them into ${folder}`,
    });
  }
  return paths;
}

/** A shard is one component of a path on any system: no folders, no drive, no `..`. */
function checkShardName(name: string, indexPath: string): void {
  if (/^[^/\\:\0]+\.safetensors$/.test(name)) return;
  throw new FormatError({
    where: indexPath,
    what: "a shard is not a plain file name",
    got: quote(name),
    expected: 'a name such as "model-00001-of-00002.safetensors", in the folder of the index',
    hint: "do not trust this index: it points outside its folder, or is not for safetensors files",
  });
}

/** For `…/snapshots/REVISION` of a Hugging Face cache, the folder that its links point into. */
function cacheBlobs(folder: string): string[] {
  const parts = folder.split(sep);
  return parts.at(-2) === "snapshots" ? [[...parts.slice(0, -2), "blobs"].join(sep)] : [];
}

/** The entry of each tensor of the index, from the shard that the index names. */
function collectTensors(
  weightMap: ReadonlyMap<string, string>,
  shards: ReadonlyMap<string, SafetensorsFile>,
  indexPath: string,
): Map<string, TensorEntry> {
  const tensors = new Map<string, TensorEntry>();
  const missing: string[] = [];
  for (const [name, shard] of weightMap) {
    const entry = shards.get(shard)?.tensors.get(name);
    if (entry === undefined) missing.push(`${quote(name)} in ${shard}`);
    else tensors.set(name, entry);
  }
  if (missing.length > 0) {
    throw new FormatError({
      where: indexPath,
      what: `${missing.length} of ${weightMap.size} tensors are not in the shard that the index names`,
      got: listed(missing),
      hint: "index and shards are from different versions: download all of them again",
    });
  }
  return tensors;
}

function mergedMetadata(shards: readonly SafetensorsFile[]): Readonly<Record<string, string>> {
  const merged: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const { metadata } of shards) {
    for (const [key, value] of Object.entries(metadata)) merged[key] ??= value;
  }
  return merged;
}

async function closeAll(shards: Iterable<SafetensorsFile>): Promise<void> {
  await Promise.all(Array.from(shards, (shard) => shard.close()));
}

function listed(items: readonly string[]): string {
  const rest = items.length - LISTED;
  return items.slice(0, LISTED).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}
