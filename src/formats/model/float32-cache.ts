/**
 * Tensors of a narrow type, once converted to float32 and kept in a file, which the engine can map:
 *
 *     float32/<key>/model.safetensors     the tensors, under the checkpoint's names
 *     float32/<key>/manifest.json         what they were made from, and how to tell that they are unharmed
 *
 * The key is that of the source files as they are now: a changed source has another. A folder appears whole or not at
 * all. A file that anything has touched since is read and compared with its checksums; if they differ it is made anew.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import { cacheDirectory } from "../../data/cache-directory.ts";
import { DataError, LowrankError } from "../../errors.ts";
import {
  type Checkpoint,
  decodeFloat32,
  openSafetensors,
  type SafetensorsFile,
  type TensorEntry,
  type TensorToWrite,
  writeSafetensors,
} from "../safetensors/index.ts";
import { asFormatError } from "../safetensors/source.ts";
import type { StoredParameter } from "./match.ts";

const VERSION = 1;
const FILE = "model.safetensors";
const MANIFEST = "manifest.json";
/** Elements that are converted, or checked, at a time. */
const CHUNK_ELEMENTS = 2 ** 22;

export interface Float32CacheOptions {
  /** Default: `LOWRANK_CACHE`, else `~/.cache/lowrank`. */
  readonly cacheDir?: string;
  /** Called for each piece that is converted. */
  readonly onProgress?: (bytes: number, totalBytes: number) => void;
  /** Stops a conversion. */
  readonly signal?: AbortSignal;
}

/** What changes whenever the contents of a file do. */
interface FileState {
  readonly bytes: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly inode: number;
}

interface Manifest {
  readonly version: number;
  /** The checkpoint, for people who look through the cache. */
  readonly source: string;
  readonly file: FileState;
  /** CRC-32 of each tensor's bytes. */
  readonly checksums: Readonly<Record<string, number>>;
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
  const root = join(options.cacheDir ?? cacheDirectory(), "float32");
  const dir = join(root, await keyOf(checkpoint, tensors));
  try {
    const kept = await verified(dir, tensors, options.signal);
    if (kept !== undefined) return kept;
    await mkdir(root, { recursive: true });
    await removeAbandoned(root);
    await checkSpace(root, tensors);
    const scratch = `${dir}.${hostname()}.${process.pid}.${randomBytes(4).toString("hex")}.tmp`;
    try {
      await build(scratch, checkpoint, tensors, options);
      await rm(dir, { recursive: true, force: true });
      await rename(scratch, dir).catch((error: unknown) => {
        // Another process was faster; its folder is checked like any other.
        const { code } = error as NodeJS.ErrnoException;
        if (code !== "ENOTEMPTY" && code !== "EEXIST" && code !== "EPERM") throw error;
      });
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
    const made = await verified(dir, tensors, options.signal);
    if (made !== undefined) return made;
  } catch (error) {
    options.signal?.throwIfAborted();
    throw asFormatError(error, root, "the float32 copy of the weights cannot be written");
  }
  throw new DataError({
    where: dir,
    what: "the float32 copy of the weights is not what was written",
    hint: "the disk may be failing: set LOWRANK_CACHE to a folder on another one",
  });
}

async function keyOf(checkpoint: Checkpoint, tensors: readonly StoredParameter[]): Promise<string> {
  const files = await Promise.all(checkpoint.files.map(async (path) => [path, await stateOf(path)]));
  const layout = tensors.map(({ stored, dtype, shape, path, byteOffset }) => [stored, dtype, shape, path, byteOffset]);
  const text = JSON.stringify([VERSION, files, layout]);
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}

async function stateOf(path: string): Promise<FileState> {
  const { size, mtimeMs, ctimeMs, ino } = await stat(path);
  return { bytes: size, mtimeMs, ctimeMs, inode: ino };
}

/** The tensors of a folder, if they are all there and unharmed. */
async function verified(
  dir: string,
  tensors: readonly StoredParameter[],
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, TensorEntry> | undefined> {
  const path = join(dir, FILE);
  let file: SafetensorsFile | undefined;
  try {
    const manifest = JSON.parse(await readFile(join(dir, MANIFEST), "utf8")) as Manifest;
    const state = await stateOf(path);
    if (manifest.version !== VERSION || state.bytes !== manifest.file.bytes) return undefined;
    file = await openSafetensors(path);
    for (const { stored, shape } of tensors) {
      const entry = file.tensors.get(stored);
      if (entry?.dtype !== "F32" || entry.shape.join() !== shape.join()) return undefined;
    }
    if (JSON.stringify(state) !== JSON.stringify(manifest.file)) {
      // Touched, copied or changed: only the bytes can tell.
      for (const { stored } of tensors) {
        if ((await checksumOf(file, stored, signal)) !== manifest.checksums[stored]) return undefined;
      }
      await writeManifest(dir, { ...manifest, file: state });
    }
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
  for (let begin = 0; begin < byteLength; begin += CHUNK_ELEMENTS * 4) {
    signal?.throwIfAborted();
    checksum = crc32(await file.readRange(name, begin, Math.min(begin + CHUNK_ELEMENTS * 4, byteLength)), checksum);
  }
  return checksum;
}

async function build(
  dir: string,
  checkpoint: Checkpoint,
  tensors: readonly StoredParameter[],
  { onProgress, signal }: Float32CacheOptions,
): Promise<void> {
  await mkdir(dir);
  const totalBytes = float32Bytes(tensors);
  const checksums: Record<string, number> = {};
  let done = 0;
  async function* converted({ stored, dtype, shape, byteLength }: StoredParameter): AsyncGenerator<Uint8Array> {
    const elements = shape.reduce((a, b) => a * b, 1);
    const width = byteLength / Math.max(elements, 1);
    const values = new Float32Array(Math.min(elements, CHUNK_ELEMENTS));
    let checksum = 0;
    for (let start = 0; start < elements; start += CHUNK_ELEMENTS) {
      signal?.throwIfAborted();
      const end = Math.min(start + CHUNK_ELEMENTS, elements);
      const target = values.subarray(0, end - start);
      decodeFloat32(dtype, await checkpoint.readRange(stored, start * width, end * width), target);
      const bytes = new Uint8Array(target.buffer, 0, target.byteLength);
      checksum = crc32(bytes, checksum);
      yield bytes;
      done += bytes.byteLength;
      onProgress?.(done, totalBytes);
    }
    checksums[stored] = checksum;
  }
  const path = join(dir, FILE);
  await writeSafetensors(
    path,
    tensors.map((tensor): TensorToWrite => {
      return { name: tensor.stored, dtype: "F32", shape: tensor.shape, data: converted(tensor) };
    }),
  );
  await writeManifest(dir, { version: VERSION, source: checkpoint.path, file: await stateOf(path), checksums });
}

async function writeManifest(dir: string, manifest: Manifest): Promise<void> {
  const path = join(dir, MANIFEST);
  await writeFile(`${path}.${process.pid}.tmp`, `${JSON.stringify(manifest, null, 2)}\n`);
  await rename(`${path}.${process.pid}.tmp`, path);
}

/** Bytes that the tensors have as float32. */
export function float32Bytes(tensors: readonly Pick<StoredParameter, "shape">[]): number {
  return tensors.reduce((sum, { shape }) => sum + 4 * shape.reduce((a, b) => a * b, 1), 0);
}

/** Removes what conversions of this machine left that were killed. */
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

async function checkSpace(root: string, tensors: readonly StoredParameter[]): Promise<void> {
  const needed = float32Bytes(tensors);
  const { bavail, bsize } = await statfs(dirname(root));
  if (needed <= bavail * bsize) return;
  throw new DataError({
    where: root,
    what: "the disk has too little space for the float32 copy of the weights",
    got: `${((bavail * bsize) / 1e9).toFixed(1)} GB free`,
    expected: `${(needed / 1e9).toFixed(1)} GB`,
    hint: "free some space, or set LOWRANK_CACHE to a folder on another disk",
  });
}
