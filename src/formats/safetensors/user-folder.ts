/** Folders and paths that a user names: what the operating system refuses is said in one message. */
import type { Stats } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { asFormatError } from "./source.ts";

/**
 * Names in a folder.
 * @throws FormatError if it is not there, is no folder, or may not be read
 */
export async function namesInFolder(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    throw asFormatError(error, dir, "the folder cannot be read");
  }
}

/**
 * What a path leads to; undefined if nothing is there.
 * @throws FormatError if one of its folders may not be looked into, so that nobody knows
 */
export async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EACCES" || code === "EPERM") throw asFormatError(error, path, "cannot be read");
    return undefined;
  }
}
