/**
 * Writes safetensors files, streamed and atomic: the data pass through a little at a time, into a temporary file beside
 * the target that takes its name only when it is whole and on the disk.
 */
import { randomBytes } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { FormatError } from "../../errors.ts";
import type { Dtype } from "./dtype.ts";
import { checkLayout, compareLayouts, encodeHeader } from "./encode-header.ts";
import type { TensorLayout } from "./encode-header.ts";
import { asFormatError, CHUNK_BYTES } from "./source.ts";
import { quote } from "./strict-json.ts";

/**
 * The elements of a tensor, row-major and little-endian: a typed array of the tensor's own type, or bytes
 * (`Uint8Array`) of any type, at hand, on demand, or in pieces of any size.
 */
export type TensorData =
  ArrayBufferView | (() => ArrayBufferView | Promise<ArrayBufferView>) | AsyncIterable<Uint8Array>;

/** A tensor to write. */
export interface TensorToWrite extends TensorLayout {
  readonly data: TensorData;
}

export interface WriteOptions {
  /** `__metadata__` of the file. Transformers wants `{ format: "pt" }`. Default: none. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Tensors are stored in the order in which they are given. Default: false, in the order of the reference. */
  readonly keepOrder?: boolean;
}

/** A whole file under a temporary name. */
export interface StagedFile {
  /** Gives the file its real name, in place of any file that had it. */
  commit(): Promise<void>;
  /** Removes the file. Does nothing after `commit`. */
  discard(): Promise<void>;
}

/**
 * Writes a file, replacing any that has the name. Tensors are stored wide types first and then by name, as the
 * reference implementation does, whatever their order here; `data` is asked for in that order, one tensor at a time.
 *
 * When anything fails, a file that was there before is as it was and no other file is left.
 *
 * @param tensors names, types, shapes and data; all but the data are needed before the first byte is written.
 * @throws FormatError for names that are there twice or cannot be stored, for data of another size or type than shape
 *   and dtype say, and when writing fails. What `data` throws is passed on.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorToWrite>,
  options: WriteOptions = {},
): Promise<void> {
  const staged = await stageSafetensors(path, tensors, options);
  await commitAll([staged]);
}

/** Writes a file as {@link writeSafetensors} does, up to but not including its real name. */
export async function stageSafetensors(
  path: string,
  tensors: Iterable<TensorToWrite>,
  { metadata = {}, keepOrder = false }: WriteOptions = {},
): Promise<StagedFile> {
  const sorted = keepOrder ? [...tensors] : [...tensors].sort(compareLayouts);
  const header = encodeHeader(sorted, metadata, path);
  return stageFile(path, async (write) => {
    await write(header);
    for (const tensor of sorted) await writeTensor(tensor, path, write);
  });
}

/** Makes a whole file under a temporary name, in the folder of `path`. */
export async function stageFile(
  path: string,
  fill: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<StagedFile> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  const system = async <T>(action: Promise<T>): Promise<T> => {
    try {
      return await action;
    } catch (error) {
      throw asFormatError(error, path, "cannot be written");
    }
  };
  const handle = await system(open(temporary, "wx"));
  const discard = (): Promise<void> => rm(temporary, { force: true });
  try {
    try {
      await fill((bytes) => system(writeAll(handle, bytes)));
      // Without this, a power cut after the rename could leave the name on an empty file.
      await system(handle.sync());
    } finally {
      await handle.close();
    }
  } catch (error) {
    await discard();
    throw error;
  }
  const commit = async (): Promise<void> => {
    await system(rename(temporary, path));
    await syncFolder(dirname(path));
  };
  return { commit, discard };
}

/** Names all files, in order; those that could not be named are removed. */
export async function commitAll(files: readonly StagedFile[]): Promise<void> {
  try {
    for (const file of files) await file.commit();
  } catch (error) {
    await Promise.all(files.map((file) => file.discard()));
    throw error;
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength;) {
    const size = Math.min(CHUNK_BYTES, bytes.byteLength - done);
    done += (await handle.write(bytes, done, size)).bytesWritten;
  }
}

/** Makes the rename itself last, where the system can. */
async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(folder, "r");
    await handle.sync();
  } catch {
    // Windows and some network file systems cannot; the file is whole either way.
  } finally {
    await handle?.close();
  }
}

async function writeTensor(
  tensor: TensorToWrite,
  path: string,
  write: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const { name, dtype, shape, data } = tensor;
  const where = `${path}: tensor ${quote(name)}`;
  const expected = checkLayout(tensor, path);
  const wrongSize = (got: string): FormatError =>
    new FormatError({
      where,
      what: `the data do not fit ${dtype} [${shape.join(", ")}]`,
      got,
      expected: `${expected} bytes`,
      hint: "check shape and dtype against the data",
    });
  let written = 0;
  for await (const chunk of chunksOf(data, dtype, where)) {
    // A stream is stopped at the first byte too many: it may have no end.
    if (written + chunk.byteLength > expected) throw wrongSize(`${written + chunk.byteLength} bytes or more`);
    await write(chunk);
    written += chunk.byteLength;
  }
  if (written !== expected) throw wrongSize(`${written} bytes`);
}

async function* chunksOf(data: TensorData, dtype: Dtype, where: string): AsyncGenerator<Uint8Array> {
  if (typeof data === "function") yield bytesOf(await data(), dtype, where);
  else if (ArrayBuffer.isView(data)) yield bytesOf(data, dtype, where);
  else for await (const chunk of data) yield bytesOf(chunk, dtype, where);
}

/** Types of array that hold elements of a data type; bytes hold any. */
const ARRAYS: Readonly<Partial<Record<Dtype, readonly string[]>>> = {
  I8: ["Int8Array"],
  I16: ["Int16Array"],
  U16: ["Uint16Array"],
  F16: ["Uint16Array", "Float16Array"],
  BF16: ["Uint16Array"],
  I32: ["Int32Array"],
  U32: ["Uint32Array"],
  F32: ["Float32Array"],
  C64: ["Float32Array"],
  F64: ["Float64Array"],
  I64: ["BigInt64Array"],
  U64: ["BigUint64Array"],
};

function bytesOf(data: unknown, dtype: Dtype, where: string): Uint8Array {
  const kind = Object.prototype.toString.call(data).slice("[object ".length, -1);
  const accepted = ["Uint8Array", ...(ARRAYS[dtype] ?? [])];
  // Equal sizes hide a wrong type: int32 in an F32 tensor would be written as garbage.
  if (!ArrayBuffer.isView(data) || !accepted.includes(kind)) {
    throw new FormatError({
      where,
      what: `the data are not elements of ${dtype}`,
      got: kind,
      expected: accepted.join(" or "),
      ...(kind === "Float32Array" ? { hint: `encodeFloat32("${dtype}", values) converts float32` } : {}),
    });
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
