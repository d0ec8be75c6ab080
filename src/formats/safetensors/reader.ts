/**
 * Reads a safetensors file: the header at once, the data in ranges when asked for.
 */
import { FormatError } from "../../errors.ts";
import { decodeFloat32, isFloatDtype } from "./dtype.ts";
import type { FloatDtype } from "./dtype.ts";
import { LENGTH_BYTES, parseHeader, parseHeaderLength } from "./header.ts";
import type { Header, TensorEntry } from "./header.ts";
import { FileSource } from "./source.ts";
import { quote } from "./strict-json.ts";

/** Elements that are converted at a time, so that a conversion needs little memory beside its result. */
const CONVERT_ELEMENTS = 2 ** 22;

/** Tensors by name, in one file or in several. */
export interface TensorReader {
  /** Real path of the file, or of the folder of a sharded checkpoint. */
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** `__metadata__`, an object without a prototype; empty when there is none. */
  readonly metadata: Readonly<Record<string, string>>;

  /**
   * Reads the bytes of a tensor: little-endian, row-major, at the start of a buffer of their own.
   *
   * @throws FormatError when there is no such tensor, when it is too large for one array, or when reading fails.
   */
  read(name: string): Promise<Uint8Array<ArrayBuffer>>;

  /**
   * Reads bytes `begin` (counted from the start of the tensor) up to, not including, `end`.
   *
   * @throws FormatError as {@link read}, and when the range is not inside the tensor.
   */
  readRange(name: string, begin: number, end: number): Promise<Uint8Array<ArrayBuffer>>;

  /**
   * Reads the bytes of a tensor into memory of the caller.
   *
   * @param target exactly as many bytes as the tensor has, in a view of any type.
   * @throws FormatError as {@link read}, and when the sizes differ.
   */
  readInto(name: string, target: ArrayBufferView): Promise<void>;

  /**
   * Reads a tensor of F32, F16, BF16 (exact) or F64 (rounded) as float32.
   *
   * @throws FormatError as {@link read}, and for any other data type.
   */
  readFloat32(name: string): Promise<Float32Array<ArrayBuffer>>;

  /** Gives back what is open. Reads fail from now on; a second call does nothing. */
  close(): Promise<void>;
}

/** One safetensors file. Made by {@link openSafetensors}. */
export class SafetensorsFile implements TensorReader {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly #source: FileSource;

  constructor(source: FileSource, { tensors, metadata }: Header) {
    this.path = source.path;
    this.tensors = tensors;
    this.metadata = metadata;
    this.#source = source;
  }

  async read(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const entry = this.#entry(name);
    return this.readRange(name, 0, entry.byteLength);
  }

  async readRange(name: string, begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    const entry = this.#entry(name);
    if (!Number.isInteger(begin) || !Number.isInteger(end) || begin < 0 || begin > end || end > entry.byteLength) {
      throw new FormatError({
        where: this.#where(entry),
        what: "this range is not inside the tensor",
        got: `[${begin}, ${end}]`,
        expected: `0 ≤ begin ≤ end ≤ ${entry.byteLength}`,
      });
    }
    const bytes = this.#allocate(entry, end - begin, (size) => new Uint8Array(size));
    await this.#source.read(bytes, entry.byteOffset + begin, `tensor ${quote(name)}`);
    return bytes;
  }

  async readInto(name: string, target: ArrayBufferView): Promise<void> {
    const entry = this.#entry(name);
    if (target.byteLength !== entry.byteLength) {
      throw new FormatError({
        where: this.#where(entry),
        what: "the target has another size than the tensor",
        got: `${target.byteLength} bytes`,
        expected: `${entry.byteLength} bytes (${entry.dtype} [${entry.shape.join(", ")}])`,
      });
    }
    await this.#source.read(target, entry.byteOffset, `tensor ${quote(name)}`);
  }

  async readFloat32(name: string): Promise<Float32Array<ArrayBuffer>> {
    const entry = this.#entry(name);
    const { dtype, shape, byteLength } = entry;
    if (!isFloatDtype(dtype)) {
      throw new FormatError({
        where: this.#where(entry),
        what: "cannot be read as float32",
        got: dtype,
        expected: "F32, F16, BF16 or F64",
        hint: "use read() for the bytes as they are",
      });
    }
    const count = shape.reduce((product, size) => product * size, 1);
    const values = this.#allocate(entry, count, (size) => new Float32Array(size));
    if (dtype === "F32") await this.#source.read(values, entry.byteOffset, `tensor ${quote(name)}`);
    else await this.#convert(entry, dtype, byteLength / Math.max(count, 1), values);
    return values;
  }

  /** Gives the descriptor back until the next read. */
  async release(): Promise<void> {
    await this.#source.release();
  }

  async close(): Promise<void> {
    await this.#source.close();
  }

  async #convert(entry: TensorEntry, dtype: FloatDtype, width: number, values: Float32Array): Promise<void> {
    const chunk = new Uint8Array(Math.min(values.length, CONVERT_ELEMENTS) * width);
    for (let start = 0; start < values.length; start += CONVERT_ELEMENTS) {
      const target = values.subarray(start, start + CONVERT_ELEMENTS);
      const bytes = chunk.subarray(0, target.length * width);
      await this.#source.read(bytes, entry.byteOffset + start * width, `tensor ${quote(entry.name)}`);
      decodeFloat32(dtype, bytes, target);
    }
  }

  #entry(name: string): TensorEntry {
    const entry = this.tensors.get(name);
    if (entry === undefined) throw noSuchTensor(this, name);
    return entry;
  }

  #where({ name }: TensorEntry): string {
    return `${this.path}: tensor ${quote(name)}`;
  }

  #allocate<T>(entry: TensorEntry, size: number, make: (size: number) => T): T {
    try {
      return make(size);
    } catch (cause) {
      throw new FormatError({
        where: this.#where(entry),
        what: "is too large for one array on this machine",
        got: `${entry.byteLength} bytes (${entry.dtype} [${entry.shape.join(", ")}])`,
        hint: "read it in parts with readRange()",
        cause,
      });
    }
  }
}

/**
 * Opens a safetensors file, reads its header and checks all of it; data are read later.
 *
 * @throws FormatError when the file cannot be read or does not follow the format in any point.
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const source = await FileSource.at(path);
  try {
    const context = { path: source.path, fileBytes: source.bytes };
    // One byte more than the length field: whether an object starts there is known before the header is allocated.
    const start = new Uint8Array(Math.min(LENGTH_BYTES + 1, source.bytes));
    await source.read(start, 0, "header");
    const header = new Uint8Array(parseHeaderLength(start, context));
    await source.read(header, LENGTH_BYTES, "header");
    return new SafetensorsFile(source, parseHeader(header, context));
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** The error for a name that is not there, with some that are. */
export function noSuchTensor({ path, tensors }: Pick<TensorReader, "path" | "tensors">, name: string): FormatError {
  const ending = name.slice(name.lastIndexOf(".") + 1);
  const names = [...tensors.keys()];
  const alike = names.filter((other) => other.endsWith(ending));
  const shown = (alike.length > 0 ? alike : names).slice(0, 3).map(quote);
  return new FormatError({
    where: path,
    what: "no such tensor",
    got: quote(name),
    expected:
      names.length === 0 ? "nothing: there are no tensors" : `one of ${names.length}, such as ${shown.join(", ")}`,
  });
}
