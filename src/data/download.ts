/**
 * One file over HTTP: resumable, and verified before anyone sees it under its name.
 *
 * Bytes go to a file beside it. A connection that breaks is taken up again from there, in this call and in later ones.
 * Only when the checksum is right does the file get its name. This uses `node:http` rather than `fetch`, which would
 * unpack a `.tar.gz` that a server labels with `Content-Encoding: gzip`, and the checksum is of the packed bytes.
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { get as getHttp } from "node:http";
import { get as getHttps } from "node:https";
import { dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { DataError } from "../errors.ts";

const MAX_REDIRECTS = 5;
/** Tries in a row that bring no new byte. A try that brought some starts the count anew. */
const MAX_FRUITLESS_TRIES = 3;

/** `git` is what git names a file by: the SHA-1 of `blob`, its size and its bytes. */
export interface Checksum {
  algorithm: "md5" | "sha256" | "git";
  /** Of the whole file, in hexadecimal. */
  hex: string;
}

export interface DownloadOptions {
  url: string;
  /** Where the finished file goes. Its folder is made if need be. */
  path: string;
  /** Where the bytes go until they are complete. Default: `<path>.part`. */
  partPath?: string;
  checksum: Checksum;
  /** Sent to the server of `url` alone: a redirection to another one does not get them. */
  headers?: Readonly<Record<string, string>>;
  /** A better error for an answer other than the file. Default: one that says the status. */
  refused?: (status: number, headers: IncomingHttpHeaders) => DataError | undefined;
  /** Called for each piece with the bytes there so far (resumed ones too) and the size, if the server told it. */
  onProgress?: (bytes: number, totalBytes: number | undefined) => void;
  /** Stops the download; what arrived is kept for the next time. */
  signal?: AbortSignal;
  /** Give up on a connection that brings nothing for so long. Default 30,000. */
  idleTimeoutMs?: number;
  /** Wait before trying again after a broken connection. Default 1,000. */
  retryDelayMs?: number;
  /** What a user can do when this fails; the hint of each error. */
  hint: string;
  /** What a user can do when the disk is full or cannot be written. Default: another `LOWRANK_CACHE`. */
  diskHint?: string;
}

/**
 * Downloads `url` to `path`, or takes up where an earlier call was cut off. A file already there with the right checksum
 * is left as it is.
 * @throws DataError when the server cannot be reached, answers with an error, keeps breaking the connection, when the
 *   checksum is wrong (the bytes are then removed), or when the disk refuses. The reason of `signal` when that stops it
 */
export async function downloadFile(options: DownloadOptions): Promise<void> {
  const { url, path, checksum, hint, partPath: part = `${path}.part` } = options;
  const { algorithm, hex } = checksum;
  try {
    await mkdir(dirname(path), { recursive: true });
    if ((await fileBytes(path)) > 0 && (await hashOf(path, algorithm)) === hex) return;
    let found = await fetchVerified(options, part);
    // Bytes left by an earlier call may be of another version of the file: once more, from nothing.
    if (found.hex !== hex && found.resumed) found = await fetchVerified(options, part);
    if (found.hex !== hex) {
      throw new DataError({
        where: url,
        what: "the downloaded file has the wrong checksum",
        got: `${algorithm} ${found.hex} (${found.bytes} bytes)`,
        expected: `${algorithm} ${hex}`,
        hint,
      });
    }
    await rename(part, path);
  } catch (cause) {
    options.signal?.throwIfAborted();
    const { code, message, syscall } = cause as NodeJS.ErrnoException;
    if (syscall === undefined) throw cause;
    throw new DataError({
      where: path,
      what: code === "ENOSPC" ? "the disk is full" : `cannot write: ${message}`,
      hint: options.diskHint ?? "free some space, or set LOWRANK_CACHE to another folder",
      cause,
    });
  }
}

/** Fetches all bytes into `part` and gives their checksum; a file with the wrong one is removed. */
async function fetchVerified(
  options: DownloadOptions,
  part: string,
): Promise<{ hex: string; bytes: number; resumed: boolean }> {
  const resumed = (await fileBytes(part)) > 0;
  await fetchAll(options, part);
  const hex = await hashOf(part, options.checksum.algorithm);
  const bytes = await fileBytes(part);
  if (hex !== options.checksum.hex) await rm(part);
  return { hex, bytes, resumed };
}

async function fetchAll(options: DownloadOptions, part: string): Promise<void> {
  const { url, signal, hint, retryDelayMs = 1000 } = options;
  for (let fruitless = 0; ;) {
    const before = await fileBytes(part);
    try {
      await fetchOnce(options, part, before);
      return;
    } catch (cause) {
      signal?.throwIfAborted();
      if (!(cause instanceof ConnectionError)) throw cause;
      const now = await fileBytes(part);
      fruitless = now > before ? 1 : fruitless + 1;
      if (!cause.retry || fruitless >= MAX_FRUITLESS_TRIES) {
        throw new DataError({
          where: url,
          what: cause.message,
          got: now === 0 ? "nothing" : `${now} bytes, kept in ${part}`,
          hint: now === 0 ? hint : `run the same command again to go on from there; or else ${hint}`,
          cause: cause.cause,
        });
      }
      await sleep(retryDelayMs, undefined, signal && { signal });
    }
  }
}

/** The network or the server failed; the disk did not. */
class ConnectionError extends Error {
  /** Whether trying again at once may help. */
  readonly retry: boolean;

  constructor(message: string, retry: boolean, cause?: unknown) {
    super(message, { cause });
    this.retry = retry;
  }
}

/** Appends the bytes from `start` on to `part`, in one connection. */
async function fetchOnce(options: DownloadOptions, part: string, start: number): Promise<void> {
  const { url, onProgress, hint } = options;
  const response = await request(options, url, start, 0);
  const status = response.statusCode ?? 0;
  if (status === 416 && start > 0) {
    // The server has nothing from `start` on. Either all is here, which the checksum tells, or the file has changed.
    response.destroy();
    return;
  }
  if (status !== 200 && status !== 206) {
    response.destroy();
    if (status >= 500) throw new ConnectionError(`the server answered ${status} ${response.statusMessage}`, true);
    const refusal = options.refused?.(status, response.headers);
    if (refusal !== undefined) throw refusal;
    throw new DataError({
      where: url,
      what: "the server does not give the file",
      got: `${status} ${response.statusMessage}`,
      expected: "200 OK",
      hint,
    });
  }
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers["content-range"] ?? "");
  if (status === 206 && Number(range?.[1]) !== start) {
    response.destroy();
    await rm(part, { force: true });
    throw new ConnectionError("the server sent another part of the file than was asked for", true);
  }
  // 200 is the whole file, whatever was asked for.
  let bytes = status === 206 ? start : 0;
  const length = response.headers["content-length"];
  const total = length === undefined ? undefined : bytes + Number(length);
  onProgress?.(bytes, total);
  const file = await open(part, bytes === 0 ? "w" : "a");
  try {
    const pieces = response[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>;
    for (;;) {
      const piece = await pieces.next().catch((cause: unknown) => {
        throw new ConnectionError("the connection broke", true, cause);
      });
      if (piece.done) break;
      await file.writeFile(piece.value);
      bytes += piece.value.length;
      onProgress?.(bytes, total);
    }
  } finally {
    response.destroy();
    await file.close();
  }
  if (total !== undefined && bytes < total) throw new ConnectionError("the connection ended early", true);
}

function request(options: DownloadOptions, url: string, start: number, redirects: number): Promise<IncomingMessage> {
  const { signal, idleTimeoutMs = 30_000 } = options;
  return new Promise((resolve, reject) => {
    const headers: Record<string, string> = { "user-agent": "lowrank", "accept-encoding": "identity" };
    if (new URL(url).origin === new URL(options.url).origin) Object.assign(headers, options.headers);
    if (start > 0) headers["range"] = `bytes=${start}-`;
    const get = url.startsWith("https:") ? getHttps : getHttp;
    const sent = get(url, { headers, ...(signal && { signal }), timeout: idleTimeoutMs }, (response) => {
      const { location } = response.headers;
      const status = response.statusCode ?? 0;
      if (status < 300 || status >= 400 || location === undefined) {
        resolve(response);
        return;
      }
      response.destroy();
      if (redirects === MAX_REDIRECTS) {
        reject(new ConnectionError(`more than ${MAX_REDIRECTS} redirections`, false));
        return;
      }
      resolve(request(options, new URL(location, url).href, start, redirects + 1));
    });
    sent.on("timeout", () => sent.destroy(new Error(`nothing came for ${idleTimeoutMs / 1000} s`)));
    sent.on("error", (cause: NodeJS.ErrnoException) => {
      const { host } = new URL(url);
      const reason = cause.code ?? cause.message;
      // A name that does not resolve or a closed port will not get better within seconds.
      const retry = cause.code === "ECONNRESET" || cause.code === "ETIMEDOUT" || cause.code === "EPIPE";
      reject(new ConnectionError(`cannot reach ${host} (${reason})`, retry, cause));
    });
  });
}

async function hashOf(path: string, algorithm: Checksum["algorithm"]): Promise<string> {
  const hash = createHash(algorithm === "git" ? "sha1" : algorithm);
  if (algorithm === "git") hash.update(`blob ${await fileBytes(path)}\0`);
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

async function fileBytes(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
    throw error;
  }
}
