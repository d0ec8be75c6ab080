/**
 * States that stay in files between runs (`writable` of {@link FileTensor}): they are read into one buffer, which runs
 * compute in, and written back from it. The buffer is as large as the run that uses most of them needs, and is made once.
 */
import { type FileHandle, open } from "node:fs/promises";
import { EngineError } from "../../errors.ts";
import { allocate, elementBytes, type TypedArray } from "../../ir/dtype.ts";
import { sizeOfShape } from "../../ir/ndarray.ts";
import type { FileTensor, Tensor } from "../runtime.ts";

/** One read or write takes at most 2 GiB. */
const STEP_BYTES = 1 << 30;
/** States start at multiples of it, as arrays of their own would: the widest vectors of a processor. */
const ALIGNMENT = 64;

interface OpenFile {
  readonly handle: FileHandle;
  readonly users: Set<string>;
}

export class PagedStates {
  readonly #files = new Map<string, OpenFile>();
  #buffer = new ArrayBuffer(0);
  /** Bytes that the run with most paged states needs. */
  #needed = 0;

  /** Keeps the file of a state open until {@link leave}. @throws EngineError if it cannot be opened for writing */
  async enter(name: string, { path }: FileTensor): Promise<void> {
    const known = this.#files.get(path);
    if (known !== undefined) {
      known.users.add(name);
      return;
    }
    try {
      this.#files.set(path, { handle: await open(path, "r+"), users: new Set([name]) });
    } catch (cause) {
      throw new EngineError({ where: path, what: "cannot be opened for writing", got: messageOf(cause) });
    }
  }

  /** The state is no longer in the file. */
  async leave(name: string, { path }: FileTensor): Promise<void> {
    const file = this.#files.get(path);
    if (file === undefined) return;
    file.users.delete(name);
    if (file.users.size > 0) return;
    this.#files.delete(path);
    if (this.#files.size === 0) {
      this.#buffer = new ArrayBuffer(0);
      this.#needed = 0;
    }
    await file.handle.close();
  }

  /** Says what a run will need, before the first one, so that the buffer need not grow. */
  expect(states: readonly FileTensor[]): void {
    this.#needed = Math.max(this.#needed, placed(states).bytes);
  }

  /** Reads states that a run uses together. The arrays are good until the next call. */
  async load(states: readonly FileTensor[]): Promise<Tensor[]> {
    if (states.length === 0) return [];
    this.expect(states);
    if (this.#buffer.byteLength < this.#needed) this.#buffer = new ArrayBuffer(this.#needed);
    const { offsets } = placed(states);
    const tensors: Tensor[] = [];
    for (const [i, state] of states.entries()) {
      const bytes = new Uint8Array(this.#buffer, offsets[i], bytesOf(state));
      await this.#read(state, bytes);
      tensors.push({ dtype: state.dtype, shape: state.shape, data: viewOf(state, bytes) });
    }
    return tensors;
  }

  /** A state in an array of its own. */
  async read(state: FileTensor): Promise<Tensor> {
    const { dtype, shape } = state;
    const data = allocate(dtype, sizeOfShape(shape));
    await this.#read(state, new Uint8Array(data.buffer));
    return { dtype, shape, data };
  }

  /** @throws EngineError if the disk refuses: the file then has some of the new contents and some of the old */
  async write(state: FileTensor, data: TypedArray): Promise<void> {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const handle = this.#handleOf(state);
    for (let at = 0; at < bytes.length;) {
      const length = Math.min(STEP_BYTES, bytes.length - at);
      try {
        at += (await handle.write(bytes, at, length, state.byteOffset + at)).bytesWritten;
      } catch (cause) {
        throw new EngineError({
          where: state.path,
          what: "a paged state cannot be written back",
          got: messageOf(cause),
          hint: "make room on the disk; what is in memory now is half of a step: go on from the last checkpoint",
        });
      }
    }
  }

  async close(): Promise<void> {
    for (const { handle } of this.#files.values()) await handle.close();
    this.#files.clear();
    this.#buffer = new ArrayBuffer(0);
  }

  async #read(state: FileTensor, into: Uint8Array): Promise<void> {
    const handle = this.#handleOf(state);
    for (let at = 0; at < into.length;) {
      const length = Math.min(STEP_BYTES, into.length - at);
      const { bytesRead } = await handle.read(into, at, length, state.byteOffset + at);
      if (bytesRead === 0) {
        throw new EngineError({
          where: state.path,
          what: "the file is shorter than the states in it",
          got: `${at} of ${into.length} bytes at ${state.byteOffset}`,
        });
      }
      at += bytesRead;
    }
  }

  #handleOf({ path }: FileTensor): FileHandle {
    const file = this.#files.get(path);
    if (file === undefined) throw new EngineError({ where: path, what: "the file is not open" });
    return file.handle;
  }
}

function placed(states: readonly FileTensor[]): { readonly offsets: readonly number[]; readonly bytes: number } {
  const offsets: number[] = [];
  let bytes = 0;
  for (const state of states) {
    offsets.push(bytes);
    bytes += Math.ceil(bytesOf(state) / ALIGNMENT) * ALIGNMENT;
  }
  return { offsets, bytes };
}

function bytesOf({ dtype, shape }: FileTensor): number {
  return sizeOfShape(shape) * elementBytes(dtype);
}

function viewOf({ dtype, shape }: FileTensor, bytes: Uint8Array): TypedArray {
  const Array = allocate(dtype, 0).constructor as new (
    buffer: ArrayBufferLike,
    at: number,
    length: number,
  ) => TypedArray;
  return new Array(bytes.buffer, bytes.byteOffset, sizeOfShape(shape));
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
