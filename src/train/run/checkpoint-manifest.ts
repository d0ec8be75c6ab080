/**
 * `checkpoint.json`: which files a checkpoint has, their sizes and checksums. It is written last, so that a folder without
 * it was never finished.
 */
import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { crc32 } from "node:zlib";
import { FormatError } from "../../errors.ts";
import { asFormatError } from "../../formats/safetensors/source.ts";
import { errorCode, readJson, replaceFile, syncFile, syncFolder } from "./durable-file.ts";
import { STATE_FILE } from "./trainer-state.ts";

export const MANIFEST_FILE = "checkpoint.json";
/** Of the manifest; a higher one is of a later version of this package. */
const FORMAT_VERSION = 1;
const REMEDY = "resume from another checkpoint: one that is damaged cannot give the same run";

interface FileRecord {
  readonly bytes: number;
  /** CRC-32 in hexadecimal: as fast as the disk, and it guards against damage, not against an attacker. */
  readonly crc32: string;
}

interface Manifest {
  readonly step: number;
  /** By path inside the checkpoint, with slashes. */
  readonly files: ReadonlyMap<string, FileRecord>;
}

/** Records the files that are in the folder, once all of them are on the disk. */
export async function writeManifest(dir: string, step: number): Promise<void> {
  const files: Record<string, FileRecord> = {};
  const { paths, folders } = await listFiles(dir);
  for (const path of paths) {
    await syncFile(join(dir, path));
    files[path] = { bytes: (await stat(join(dir, path))).size, crc32: await checksum(join(dir, path)) };
  }
  for (const folder of folders) await syncFolder(join(dir, folder));
  const text = JSON.stringify({ format_version: FORMAT_VERSION, step, files }, null, 2);
  await replaceFile(join(dir, MANIFEST_FILE), `${text}\n`);
}

/** Whether every file of the manifest is there in its size, the state of the run among them. Reads no contents. */
export async function isComplete(dir: string): Promise<boolean> {
  try {
    return (await problemsOf(dir, await readManifest(dir), "sizes")).length === 0;
  } catch (error) {
    if (error instanceof FormatError) return false;
    throw error;
  }
}

/**
 * Reads every byte of a checkpoint and compares checksums.
 * @returns its step
 * @throws FormatError that names the files that are missing or damaged
 */
export function verifyCheckpoint(dir: string): Promise<number> {
  return check(dir, "contents");
}

/** {@link verifyCheckpoint} that looks at names and sizes only. */
export function checkComplete(dir: string): Promise<number> {
  return check(dir, "sizes");
}

async function check(dir: string, depth: "sizes" | "contents"): Promise<number> {
  const manifest = await readManifest(dir);
  const problems = await problemsOf(dir, manifest, depth);
  if (problems.length > 0) {
    throw new FormatError({
      where: dir,
      what: "the checkpoint is damaged",
      got: problems.join("; "),
      expected: `the files of ${MANIFEST_FILE}`,
      hint: REMEDY,
    });
  }
  return manifest.step;
}

async function readManifest(dir: string): Promise<Manifest> {
  const path = join(dir, MANIFEST_FILE);
  try {
    await stat(path);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw asFormatError(error, path, "cannot be read");
    throw new FormatError({
      where: dir,
      what: "is not a complete checkpoint of this package",
      got: `no ${MANIFEST_FILE}`,
      hint: "to go on from the weights alone, give the folder as adapter_name_or_path or model_name_or_path",
      cause: error,
    });
  }
  const { format_version, step, files } = record(await readJson(path)) ?? {};
  const entries = Object.entries(record(files) ?? {}).map(([name, value]): [string, FileRecord | undefined] => {
    const { bytes, crc32 } = record(value) ?? {};
    const inside = !name.split("/").includes("..") && !name.startsWith("/");
    const valid = inside && typeof bytes === "number" && typeof crc32 === "string";
    return [name, valid ? { bytes, crc32 } : undefined];
  });
  const known = new Map(entries.filter((entry): entry is [string, FileRecord] => entry[1] !== undefined));
  if (format_version !== FORMAT_VERSION || typeof step !== "number" || known.size < entries.length) {
    throw new FormatError({
      where: path,
      what: "is not a manifest that this version reads",
      got: `format_version ${JSON.stringify(format_version)}`,
      expected: `format_version ${FORMAT_VERSION}, step and files`,
      hint: REMEDY,
    });
  }
  return { step, files: known };
}

async function problemsOf(dir: string, manifest: Manifest, depth: "sizes" | "contents"): Promise<string[]> {
  const problems = manifest.files.has(STATE_FILE) ? [] : [`${STATE_FILE} is missing`];
  for (const [name, { bytes, crc32: expected }] of manifest.files) {
    const path = join(dir, name);
    let size: number;
    try {
      size = (await stat(path)).size;
    } catch (error) {
      if (errorCode(error) !== "ENOENT" && errorCode(error) !== "ENOTDIR") {
        throw asFormatError(error, path, "cannot be read");
      }
      problems.push(`${name} is missing`);
      continue;
    }
    if (size !== bytes) problems.push(`${name} has ${size} bytes, not ${bytes}`);
    else if (depth === "contents" && (await checksum(path)) !== expected) problems.push(`${name} has other contents`);
  }
  return problems;
}

async function checksum(path: string): Promise<string> {
  let crc = 0;
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) crc = crc32(chunk as Buffer, crc);
  } catch (error) {
    throw asFormatError(error, path, "cannot be read");
  }
  return crc.toString(16).padStart(8, "0");
}

/** Paths with slashes, sorted; the folders begin with the inmost ones and end with `.`. */
async function listFiles(dir: string): Promise<{ paths: string[]; folders: string[] }> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const inside = entries.map((entry) => {
    const full = join(entry.parentPath, entry.name);
    return { path: full.slice(join(dir, sep).length).replaceAll(sep, "/"), folder: entry.isDirectory() };
  });
  const folders = inside.filter(({ folder }) => folder).map(({ path }) => path);
  const paths = inside.filter(({ folder }) => !folder).map(({ path }) => path);
  return { paths: paths.toSorted(), folders: [...folders.toSorted((a, b) => b.length - a.length), "."] };
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
}
