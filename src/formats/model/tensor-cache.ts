/**
 * Tensors that were made of a checkpoint once, kept in a file, which the engine can map:
 *
 *     <kind>/<key>/model.safetensors     the tensors
 *     <kind>/<key>/manifest.json         what they were made from, and how to tell that they are unharmed
 *
 * A folder appears whole or not at all. A file that is not what was written is made anew.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import { cacheDirectory } from "../../data/cache-directory.ts";
import { DataError, LowrankError } from "../../errors.ts";
import {
  byteLengthOf,
  openSafetensors,
  type SafetensorsFile,
  type TensorEntry,
  type TensorLayout,
  type TensorToWrite,
  writeSafetensors,
} from "../safetensors/index.ts";
import { asFormatError } from "../safetensors/source.ts";

const FILE = "model.safetensors";
const MANIFEST = "manifest.json";
/** Bytes that are checked at a time. */
const CHUNK_BYTES = 2 ** 24;

export interface TensorCacheOptions {
  /** Default: `LOWRANK_CACHE`, else `~/.cache/lowrank`. */
  readonly cacheDir?: string;
  /** Stops what is being made. */
  readonly signal?: AbortSignal;
}

export interface CachedTensors {
  /** Folder in the cache. */
  readonly kind: string;
  /** In a few words, for messages: `the float32 copy of the weights`. */
  readonly what: string;
  readonly version: number;
  readonly key: string;
  /** The checkpoint, for people who look through the cache. */
  readonly source: string;
  /** Compares the file with its checksums at every start, not only where anything has touched it. Default: false. */
  readonly alwaysCheck?: boolean;
  readonly tensors: readonly TensorLayout[];
  /** The bytes of a tensor; asked for one after the other, in order. */
  readonly fill: (tensor: TensorLayout) => AsyncIterable<Uint8Array>;
}

/** What changes whenever the contents of a file do. */
export interface FileState {
  readonly bytes: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly inode: number;
}

interface Manifest {
  readonly version: number;
  readonly source: string;
  readonly file: FileState;
  /** CRC-32 of each tensor's bytes. */
  readonly checksums: Readonly<Record<string, number>>;
}

/**
 * The tensors in a file, made unless an earlier call has done it.
 * @returns where they are, by their names
 * @throws DataError if the disk has too little space, FormatError if reading or writing fails, the reason of `signal`,
 *   and what `fill` throws
 */
export async function tensorCache(
  cached: CachedTensors,
  { cacheDir, signal }: TensorCacheOptions = {},
): Promise<ReadonlyMap<string, TensorEntry>> {
  const root = join(cacheDir ?? cacheDirectory(), cached.kind);
  const dir = join(root, cached.key);
  try {
    const kept = await verified(dir, cached, signal);
    if (kept !== undefined) return kept;
    await mkdir(root, { recursive: true });
    await removeAbandoned(root);
    await checkSpace(root, cached);
    const scratch = `${dir}.${hostname()}.${process.pid}.${randomBytes(4).toString("hex")}.tmp`;
    try {
      await build(scratch, cached);
      await rm(dir, { recursive: true, force: true });
      await rename(scratch, dir).catch((error: unknown) => {
        // Another process was faster; its folder is checked like any other.
        const { code } = error as NodeJS.ErrnoException;
        if (code !== "ENOTEMPTY" && code !== "EEXIST" && code !== "EPERM") throw error;
      });
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
    const made = await verified(dir, cached, signal);
    if (made !== undefined) return made;
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof LowrankError) throw error;
    throw asFormatError(error, root, `${cached.what} cannot be written`);
  }
  throw new DataError({
    where: dir,
    what: `${cached.what} is not what was written`,
    hint: "the disk may be failing: set LOWRANK_CACHE to a folder on another one",
  });
}

export async function fileState(path: string): Promise<FileState> {
  const { size, mtimeMs, ctimeMs, ino } = await stat(path);
  return { bytes: size, mtimeMs, ctimeMs, inode: ino };
}

/** The tensors of a folder, if they are all there and unharmed. */
async function verified(
  dir: string,
  { tensors, version, alwaysCheck = false }: CachedTensors,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, TensorEntry> | undefined> {
  const path = join(dir, FILE);
  let file: SafetensorsFile | undefined;
  try {
    const manifest = JSON.parse(await readFile(join(dir, MANIFEST), "utf8")) as Manifest;
    const state = await fileState(path);
    if (manifest.version !== version || state.bytes !== manifest.file.bytes) return undefined;
    file = await openSafetensors(path);
    for (const { name, dtype, shape } of tensors) {
      const entry = file.tensors.get(name);
      if (entry?.dtype !== dtype || entry.shape.join() !== shape.join()) return undefined;
    }
    const isTouched = JSON.stringify(state) !== JSON.stringify(manifest.file);
    if (alwaysCheck || isTouched) {
      // Touched, copied or changed: only the bytes can tell.
      for (const { name } of tensors) {
        if ((await checksumOf(file, name, signal)) !== manifest.checksums[name]) return undefined;
      }
    }
    if (isTouched) await writeManifest(dir, { ...manifest, file: state });
    return file.tensors;
  } catch (error) {
    signal?.throwIfAborted();
    // Absent or broken in whatever way: it is made anew, and what stands in the way of that will be said then.
    if (error instanceof LowrankError || error instanceof SyntaxError || error instanceof TypeError) return undefined;
    if (error instanceof Error && "syscall" in error) return undefined;
    throw error;
  } finally {
    await file?.close();
  }
}

async function checksumOf(file: SafetensorsFile, name: string, signal: AbortSignal | undefined): Promise<number> {
  const { byteLength } = file.tensors.get(name)!;
  let checksum = 0;
  for (let begin = 0; begin < byteLength; begin += CHUNK_BYTES) {
    signal?.throwIfAborted();
    checksum = crc32(await file.readRange(name, begin, Math.min(begin + CHUNK_BYTES, byteLength)), checksum);
  }
  return checksum;
}

async function build(dir: string, { version, source, tensors, fill }: CachedTensors): Promise<void> {
  await mkdir(dir);
  const checksums: Record<string, number> = {};
  async function* summed(tensor: TensorLayout): AsyncGenerator<Uint8Array> {
    let checksum = 0;
    for await (const bytes of fill(tensor)) {
      checksum = crc32(bytes, checksum);
      yield bytes;
    }
    checksums[tensor.name] = checksum;
  }
  const path = join(dir, FILE);
  await writeSafetensors(
    path,
    tensors.map((tensor): TensorToWrite => ({ ...tensor, data: summed(tensor) })),
    { keepOrder: true },
  );
  await writeManifest(dir, { version, source, file: await fileState(path), checksums });
}

async function writeManifest(dir: string, manifest: Manifest): Promise<void> {
  const path = join(dir, MANIFEST);
  await writeFile(`${path}.${process.pid}.tmp`, `${JSON.stringify(manifest, null, 2)}\n`);
  await rename(`${path}.${process.pid}.tmp`, path);
}

/** Removes what processes of this machine left that were killed. */
async function removeAbandoned(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    if (!name.endsWith(".tmp") || !name.includes(`.${hostname()}.`)) continue;
    const pid = Number(name.split(".").at(-3));
    try {
      process.kill(pid, 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ESRCH")
        await rm(join(root, name), { recursive: true, force: true });
    }
  }
}

async function checkSpace(root: string, { what, tensors }: CachedTensors): Promise<void> {
  const needed = tensors.reduce((sum, { dtype, shape }) => sum + Number(byteLengthOf(dtype, shape)), 0);
  const { bavail, bsize } = await statfs(dirname(root));
  if (needed <= bavail * bsize) return;
  throw new DataError({
    where: root,
    what: `the disk has too little space for ${what}`,
    got: `${((bavail * bsize) / 1e9).toFixed(1)} GB free`,
    expected: `${(needed / 1e9).toFixed(1)} GB`,
    hint: "free some space, or set LOWRANK_CACHE to a folder on another disk",
  });
}
