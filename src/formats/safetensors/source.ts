/**
 * A file that ranges are read from: opened when needed, and known to be the same file each time.
 */
import { constants } from "node:fs";
import { open, realpath, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { FormatError } from "../../errors.ts";

/** Bytes per system call: one call cannot take 2 GiB or more, and this size is already past any gain. */
export const CHUNK_BYTES = 64 * 2 ** 20;

/** What tells that a path still means the same, unchanged file. */
interface Identity {
  dev: number;
  ino: number;
  size: number;
  mtimeMs: number;
}

export class FileSource {
  /** Real path of the file. */
  readonly path: string;
  readonly #identity: Identity;
  #handle: Promise<FileHandle> | undefined;
  #closed = false;

  private constructor(path: string, identity: Identity) {
    this.path = path;
    this.#identity = identity;
  }

  /**
   * Looks at the file without keeping it open; the first read opens it.
   *
   * @throws FormatError when the path cannot be read or is not a regular file.
   */
  static async at(path: string): Promise<FileSource> {
    try {
      const real = await realpath(path);
      const found = await stat(real);
      // A named pipe would block and a device would never end.
      if (!found.isFile())
        throw new FormatError({ where: path, what: "is not a regular file", hint: "give the path of a file" });
      return new FileSource(real, found);
    } catch (error) {
      throw asFormatError(error, path, "cannot be read");
    }
  }

  get bytes(): number {
    return this.#identity.size;
  }

  /**
   * Fills `target` with the bytes from `position` on, in as many reads as it takes.
   *
   * @param about what is read, for messages.
   * @throws FormatError when the file is closed, has changed, ends early or cannot be read.
   */
  async read(target: ArrayBufferView, position: number, about: string): Promise<void> {
    const where = `${this.path}: ${about}`;
    let done = 0;
    while (done < target.byteLength) {
      const handle = await this.#open(where);
      const size = Math.min(CHUNK_BYTES, target.byteLength - done);
      const chunk = new Uint8Array(target.buffer, target.byteOffset + done, size);
      let count: number;
      try {
        count = (await handle.read(chunk, 0, size, position + done)).bytesRead;
      } catch (error) {
        throw asFormatError(error, where, "cannot be read");
      }
      if (count === 0) {
        throw new FormatError({
          where,
          what: "the file ended early",
          got: `${position + done} bytes`,
          expected: `at least ${position + target.byteLength}`,
          hint: "the file was cut while it was open: copy or download it again",
        });
      }
      done += count;
    }
  }

  /** Gives the descriptor back; the next read opens the file again. */
  async release(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    // A failed opening has been reported to the read that asked for it.
    const opened = await handle?.catch(() => undefined);
    await opened?.close();
  }

  /** Gives the descriptor back for good: reads fail from now on. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.release();
  }

  #open(where: string): Promise<FileHandle> {
    if (this.#closed) {
      throw new FormatError({ where, what: "the file has been closed", hint: "read before close(), or open it again" });
    }
    this.#handle ??= this.#openSame();
    return this.#handle;
  }

  async #openSame(): Promise<FileHandle> {
    let handle: FileHandle | undefined;
    try {
      handle = await open(this.path, constants.O_RDONLY);
      const { dev, ino, size, mtimeMs } = await handle.stat();
      const was = this.#identity;
      if (dev !== was.dev || ino !== was.ino || size !== was.size || mtimeMs !== was.mtimeMs) {
        throw new FormatError({
          where: this.path,
          what: "the file has changed since its header was read",
          hint: "open the checkpoint again",
        });
      }
      return handle;
    } catch (error) {
      await handle?.close();
      this.#handle = undefined;
      throw asFormatError(error, this.path, "cannot be read");
    }
  }
}

/** Errors of the operating system that have a remedy worth a line. */
const REMEDIES: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "check the path: a part of it does not exist"],
  ["ENOTDIR", "check the path: a part of it is a file, not a folder"],
  ["EISDIR", "give the path of a file, not of a folder"],
  ["EACCES", "you lack the permission: check owner and mode of the file and its folders"],
  ["EPERM", "you lack the permission: check owner and mode of the file and its folders"],
  ["EROFS", "this file system is read-only: choose another folder"],
  ["ENOSPC", "the disk is full: free some space or choose another folder"],
  ["EDQUOT", "the disk quota is used up: free some space or choose another folder"],
  ["EMFILE", "too many files are open: close some, or raise `ulimit -n`"],
]);

/** An error of the operating system as a message for a person; any other error is returned as it is. */
export function asFormatError(error: unknown, where: string, what: string): unknown {
  if (!(error instanceof Error) || !("syscall" in error) || !("code" in error)) return error;
  const code = String(error.code);
  const hint = REMEDIES.get(code);
  return new FormatError({ where, what, got: code, cause: error, ...(hint === undefined ? {} : { hint }) });
}
