/** Files of a commit, from the hub into the cache. */
import { mkdir, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { downloadFile } from "../data/download.ts";
import { DataError } from "../errors.ts";
import { bytesOf, type CachedRepo } from "./cached-repo.ts";
import { type HubRepo, pageOf, refusal } from "./hub-error.ts";
import type { HubFile } from "./listing.ts";
import { withLock } from "./lock.ts";

/** Where a download is. Sizes are in bytes. */
export interface HubProgress {
  /** The file that is being fetched, relative to the repository. */
  readonly file: string;
  readonly fileBytes: number;
  readonly fileTotalBytes: number;
  /** Of all needed files together; those that are in the cache already are not counted. */
  readonly bytes: number;
  readonly totalBytes: number;
}

export interface FetchOptions {
  readonly onProgress?: ((progress: HubProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Puts files into a snapshot, one after the other; those that the cache has are linked.
 * @throws DataError as `downloadFile`, and if they do not fit on the disk
 */
export async function fetchFiles(
  cache: CachedRepo,
  repo: HubRepo,
  commit: string,
  files: readonly HubFile[],
  { onProgress, signal }: FetchOptions,
): Promise<void> {
  const absent: HubFile[] = [];
  for (const file of files) {
    if ((await bytesOf(join(cache.snapshot(commit), file.path))) === file.bytes) continue;
    if ((await bytesOf(cache.blob(file.etag))) === file.bytes) await cache.link(file.etag, commit, file.path);
    else absent.push(file);
  }
  const totalBytes = absent.reduce((sum, { bytes }) => sum + bytes, 0);
  if (absent.length > 0) await checkSpace(cache, absent);
  let before = 0;
  for (const file of absent) {
    await fetchFile(cache, repo, commit, file, signal, (fileBytes) =>
      onProgress?.({ file: file.path, fileBytes, fileTotalBytes: file.bytes, bytes: before + fileBytes, totalBytes }),
    );
    await cache.link(file.etag, commit, file.path);
    before += file.bytes;
  }
}

async function fetchFile(
  cache: CachedRepo,
  repo: HubRepo,
  commit: string,
  { path, bytes, etag, algorithm }: HubFile,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const blob = cache.blob(etag);
  await withLock(`${blob}.lock`, signal, async () => {
    if ((await bytesOf(blob)) === bytes) return; // another process was faster
    await rm(blob, { force: true });
    await downloadFile({
      url: `${pageOf(repo)}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`,
      path: blob,
      partPath: `${blob}.incomplete`,
      checksum: { algorithm, hex: etag },
      ...(repo.token !== undefined && { headers: { authorization: `Bearer ${repo.token}` } }),
      refused: (status, headers) => refusal(repo, { status, code: headers["x-error-code"]?.toString() }),
      onProgress: onBytes,
      ...(signal && { signal }),
      hint: "check the connection, set HF_ENDPOINT to a mirror, or give a local folder",
      diskHint: `free some space, or set HF_HUB_CACHE to another folder than ${cache.dir}`,
    });
  });
}

/** Better to say it now than after an hour. */
async function checkSpace(cache: CachedRepo, files: readonly HubFile[]): Promise<void> {
  const dir = join(cache.dir, "blobs");
  await mkdir(dir, { recursive: true });
  let needed = 0;
  for (const { etag, bytes } of files) needed += bytes - ((await bytesOf(`${cache.blob(etag)}.incomplete`)) ?? 0);
  const { bavail, bsize } = await statfs(dir);
  if (needed <= bavail * bsize) return;
  throw new DataError({
    where: dir,
    what: "the disk has too little space",
    got: `${gigabytes(bavail * bsize)} GB free`,
    expected: `${gigabytes(needed)} GB for ${files.length} files`,
    hint: "free some space, or set HF_HUB_CACHE to another folder",
  });
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(bytes < 1e8 ? 3 : 1);
}
