/** The official CIFAR-10 archive, downloaded once and kept unpacked in the cache folder. */

import { mkdtemp, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { extract } from "tar";
import { DataError } from "../errors.ts";
import { cacheDirectory } from "./cache-directory.ts";
import { CIFAR10_FOLDER } from "./cifar10.ts";
import { downloadFile } from "./download.ts";

/** Published, with the checksum, by Alex Krizhevsky. */
export const CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";
export const CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530";

const HINT =
  "without a connection use `--data DIR`, a folder with data_batch_1.bin … data_batch_5.bin and test_batch.bin " +
  `(unpacked from ${CIFAR10_URL}), or \`--data synthetic\` for generated images`;

export interface Cifar10DownloadOptions {
  /** Default {@link CIFAR10_URL}. */
  url?: string;
  /** MD5 of the archive. Default {@link CIFAR10_MD5}. */
  md5?: string;
  /** Default {@link cacheDirectory}. */
  cache?: string;
  /** Called for each piece with the bytes there so far and the size of the archive, if the server told it. */
  onProgress?: (bytes: number, totalBytes: number | undefined) => void;
  /** Called when the archive is complete and is about to be unpacked. */
  onExtract?: () => void;
  /** Stops the download; what arrived is kept for the next time. */
  signal?: AbortSignal;
  /** Give up on a connection that brings nothing for so long. Default 30,000. */
  idleTimeoutMs?: number;
  /** Wait before trying again after a broken connection. Default 1,000. */
  retryDelayMs?: number;
}

/**
 * The folder with the binary files of CIFAR-10, downloaded (170 MB, then 184 MB unpacked) unless it is in the cache.
 * The folder appears under its name complete or not at all; the archive is removed once it is unpacked.
 * @returns the path of the folder, for `loadCifar10`
 * @throws DataError when the archive cannot be downloaded, verified, unpacked or written
 */
export async function downloadCifar10(options: Cifar10DownloadOptions = {}): Promise<string> {
  const { url = CIFAR10_URL, md5 = CIFAR10_MD5, cache = cacheDirectory(), onExtract, ...transfer } = options;
  const folder = join(cache, CIFAR10_FOLDER);
  if (await isFolder(folder)) return folder;
  const archive = join(cache, "cifar-10-binary.tar.gz");
  await downloadFile({ ...transfer, url, checksum: { algorithm: "md5", hex: md5 }, path: archive, hint: HINT });
  onExtract?.();
  await unpack(archive, folder, cache);
  return folder;
}

/** Unpacks the archive beside its place, then renames, so that an interruption leaves no half folder. */
async function unpack(archive: string, folder: string, cache: string): Promise<void> {
  const scratch = await mkdtemp(join(cache, "unpacking-"));
  try {
    await extract({
      file: archive,
      cwd: scratch,
      strict: true,
      filter: (_path, entry) => !("type" in entry) || entry.type === "File" || entry.type === "Directory",
    });
    try {
      await rename(join(scratch, CIFAR10_FOLDER), folder);
    } catch (error) {
      // Another process may have been faster; its folder is as good.
      if (!(await isFolder(folder))) throw error;
    }
    await rm(archive, { force: true });
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new DataError({
      where: archive,
      what:
        code === "ENOENT"
          ? `the archive holds no folder ${CIFAR10_FOLDER}`
          : code === "ENOSPC"
            ? "the disk is full"
            : `cannot unpack: ${message}`,
      hint:
        code === "ENOSPC"
          ? "free some space, or set LOWRANK_CACHE to another folder"
          : "remove the archive and run the same command again to download it anew",
      cause,
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}
