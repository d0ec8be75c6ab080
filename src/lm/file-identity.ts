/** What a model or an adapter was, byte for byte: its files with their checksums, for records. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { openCheckpoint } from "../formats/safetensors/index.ts";

export interface FileIdentity {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** @param onBytes is called with the bytes of each piece that was read */
export async function identityOf(
  path: string,
  { onBytes, signal }: { onBytes?: (bytes: number) => void; signal?: AbortSignal } = {},
): Promise<FileIdentity> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const piece of createReadStream(path, { highWaterMark: 2 ** 22 })) {
    signal?.throwIfAborted();
    hash.update(piece as Buffer);
    bytes += (piece as Buffer).length;
    onBytes?.((piece as Buffer).length);
  }
  return { name: basename(path), bytes, sha256: hash.digest("hex") };
}

/** `config.json` and the files with the weights of a model. */
export async function modelFiles(dir: string): Promise<{ path: string; bytes: number }[]> {
  const checkpoint = await openCheckpoint(dir);
  await checkpoint.close();
  const paths = [join(dir, "config.json"), ...checkpoint.files];
  return Promise.all(paths.map(async (path) => ({ path, bytes: (await stat(path)).size })));
}

/** Commit of a folder in the hub's cache, `…/snapshots/COMMIT`; undefined for others. */
export function commitOf(dir: string): string | undefined {
  return basename(dirname(dir)) === "snapshots" ? basename(dir) : undefined;
}
