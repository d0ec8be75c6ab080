/** Files that are whole or absent, whatever happens while they are written. */
import { mkdir, open, readFile } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { FormatError } from "../../errors.ts";
import { asFormatError } from "../../formats/safetensors/source.ts";
import { commitAll, stageFile } from "../../formats/safetensors/writer.ts";

/**
 * Writes a file under a temporary name, and on the disk, before it takes the place of the one that was there. Its folder
 * is made if need be.
 * @throws FormatError if the disk refuses
 */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  try {
    await mkdir(dirname(path), { recursive: true });
  } catch (error) {
    throw asFormatError(error, path, "cannot be written");
  }
  await commitAll([await stageFile(path, (write) => write(bytes))]);
}

/** Waits until a file's bytes are on the disk. */
export async function syncFile(path: string): Promise<void> {
  // Windows flushes only what is open for writing.
  await withHandle(await open(path, "r+"), (handle) => handle.sync());
}

/** Waits until the names in a folder are on the disk, where the system can do that. */
export async function syncFolder(path: string): Promise<void> {
  try {
    await withHandle(await open(path, "r"), (handle) => handle.sync());
  } catch (error) {
    // Windows and some network file systems have no such call for folders.
    if (!["EISDIR", "EPERM", "EACCES", "EINVAL", "ENOTSUP", "EBADF"].includes(errorCode(error) ?? "")) throw error;
  }
}

/** @throws FormatError if the file cannot be read or is not JSON */
export async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw asFormatError(error, path, "cannot be read");
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FormatError({ where: path, what: "is not JSON", got: (cause as Error).message, cause });
  }
}

/** `ENOENT` and the like; undefined for an error that is not the system's. */
export function errorCode(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}

async function withHandle(handle: FileHandle, use: (handle: FileHandle) => Promise<void>): Promise<void> {
  try {
    await use(handle);
  } finally {
    await handle.close();
  }
}
