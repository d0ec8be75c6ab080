/** SHA-256 of files. Kept in the cache with the state of the file, so that a checkpoint is hashed once. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cacheDirectory } from "../../data/cache-directory.ts";
import { asFormatError } from "../safetensors/source.ts";
import { fileState, type TensorCacheOptions } from "./tensor-cache.ts";

/** @throws FormatError if the file cannot be read, the reason of `signal` */
export async function contentHash(path: string, { cacheDir, signal }: TensorCacheOptions = {}): Promise<string> {
  try {
    const dir = join(cacheDir ?? cacheDirectory(), "hashes");
    const state = createHash("sha256")
      .update(JSON.stringify([path, await fileState(path)]))
      .digest("hex");
    const note = join(dir, state.slice(0, 32));
    const known = await readFile(note, "utf8").catch(() => "");
    if (/^[0-9a-f]{64}$/.test(known)) return known;
    const hash = createHash("sha256");
    for await (const piece of createReadStream(path, { highWaterMark: 2 ** 22 })) {
      signal?.throwIfAborted();
      hash.update(piece as Buffer);
    }
    const digest = hash.digest("hex");
    await mkdir(dir, { recursive: true });
    await writeFile(`${note}.${process.pid}.tmp`, digest);
    await rename(`${note}.${process.pid}.tmp`, note);
    return digest;
  } catch (error) {
    signal?.throwIfAborted();
    throw asFormatError(error, path, "cannot be read");
  }
}
