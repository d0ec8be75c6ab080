/**
 * The file of optimizer states that do not fit their budget of memory: one after the other, float32, little-endian.
 *
 * The file loses its name as soon as the device has it open: whatever ends the process, nothing is left, and no other run can
 * take it for its own. It is written in full before the first step, so that a disk that is too small shows at once.
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "../errors.ts";
import { sizeOfShape } from "../ir/ndarray.ts";
import type { Device, Tensor } from "../runtime/runtime.ts";

interface Slot {
  readonly name: string;
  readonly shape: readonly number[];
}

const FLOAT32_BYTES = 4;
/** Bytes that are written at a time. */
const CHUNK_BYTES = 1 << 23;

export class OptimizerPages {
  readonly #device: Device;
  readonly #slots: readonly Slot[];
  readonly #path: string;

  private constructor(device: Device, slots: readonly Slot[], path: string) {
    this.#device = device;
    this.#slots = slots;
    this.#path = path;
  }

  /**
   * Makes the states on the device, in a new file of the folder.
   * @param contents of a state; undefined: zeros
   * @throws ConfigError if the folder cannot be written to, or the disk is full; then no file is left
   */
  static async create(
    device: Device,
    folder: string,
    slots: readonly Slot[],
    contents: (name: string) => Promise<Tensor | undefined>,
  ): Promise<OptimizerPages> {
    const path = join(folder, `.optimizer-pages-${process.pid}-${randomBytes(6).toString("hex")}.tmp`);
    const pages = new OptimizerPages(device, slots, path);
    const bytes = slots.reduce((sum, { shape }) => sum + sizeOfShape(shape) * FLOAT32_BYTES, 0);
    let file: FileHandle | undefined;
    try {
      await mkdir(folder, { recursive: true });
      file = await open(path, "wx");
      await pages.#map();
      // Where a file that is open keeps its name, free() removes it.
      await rm(path).catch(() => undefined);
      for (const slot of slots) await fill(file, slot, await contents(slot.name));
      return pages;
    } catch (cause) {
      await pages.free();
      if (!(cause instanceof Error && "syscall" in cause)) throw cause;
      throw new ConfigError({
        where: folder,
        what: `no room for ${bytes.toLocaleString("en-US")} bytes of optimizer states that are paged`,
        got: cause.message,
        hint: "free some space there, choose another output_dir, or raise optimizer_memory_budget",
        cause,
      });
    } finally {
      await file?.close();
    }
  }

  /** Frees the states, and with them the space on the disk. */
  async free(): Promise<void> {
    for (const { name } of this.#slots) await this.#device.free(name);
    await rm(this.#path, { force: true }).catch(() => undefined);
  }

  async #map(): Promise<void> {
    let byteOffset = 0;
    for (const { name, shape } of this.#slots) {
      await this.#device.map(name, { dtype: "float32", shape, path: this.#path, byteOffset, writable: true });
      byteOffset += sizeOfShape(shape) * FLOAT32_BYTES;
    }
  }
}

/** Appends a state. Zeros are written too: a hole in the file would not have its space yet. */
async function fill(file: FileHandle, { shape }: Slot, tensor: Tensor | undefined): Promise<void> {
  const bytes = sizeOfShape(shape) * FLOAT32_BYTES;
  const zeros = tensor === undefined ? new Uint8Array(Math.min(CHUNK_BYTES, bytes)) : undefined;
  for (let at = 0; at < bytes;) {
    const length = Math.min(CHUNK_BYTES, bytes - at);
    const part =
      tensor === undefined
        ? zeros!.subarray(0, length)
        : new Uint8Array(tensor.data.buffer, tensor.data.byteOffset + at, length);
    at += (await file.write(part)).bytesWritten;
  }
}
