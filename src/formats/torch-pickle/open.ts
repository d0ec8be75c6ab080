/**
 * Tensors of a file that PyTorch's `save` wrote (`.bin`, `.pt`, `.pth`), without PyTorch and without running anything of the
 * file: see tensors.ts for what it may name. Tensors are read when they are asked for.
 */
import { FormatError } from "../../errors.ts";
import { decodeFloat32, isFloatDtype } from "../safetensors/dtype.ts";
import { noSuchTensor, type TensorReader } from "../safetensors/reader.ts";
import type { TensorEntry } from "../safetensors/header.ts";
import { FileSource } from "../safetensors/source.ts";
import { quote } from "../safetensors/strict-json.ts";
import { type ArrayBytes, type Layout, readLayout, widthOf } from "./layout.ts";
import type { TorchTensor } from "./tensors.ts";
import { allocated } from "./zip.ts";

/**
 * @throws FormatError if the file cannot be read, is not PyTorch's, is damaged, or names anything besides dense tensors in
 *   dicts and lists; the message has the name
 */
export async function openTorch(path: string): Promise<TorchFile> {
  const source = await FileSource.at(path);
  try {
    return new TorchFile(source, await readLayout(source));
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** Made by {@link openTorch}. */
export class TorchFile implements TensorReader {
  readonly path: string;
  /**
   * In the order of the file. `byteOffset` is where the bytes start, if they lie in the file as they are; else, of views with
   * other strides and of compressed archives, −1.
   */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** The format has none. */
  readonly metadata: Readonly<Record<string, string>> = {};
  /** Names of values that are no tensors, such as `epoch`. */
  readonly others: readonly string[];
  readonly #source: FileSource;
  readonly #layout: Layout;

  constructor(source: FileSource, layout: Layout) {
    this.path = source.path;
    this.others = layout.others;
    this.#source = source;
    this.#layout = layout;
    this.tensors = new Map(
      [...layout.tensors].map(([name, tensor]) => {
        const { dtype, shape, byteLength } = tensor;
        const byteOffset = this.#plainStart(tensor) ?? -1;
        return [name, { name, dtype, shape, path: source.path, byteOffset, byteLength }];
      }),
    );
  }

  async read(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const tensor = this.#tensor(name);
    const start = this.#plainStart(tensor);
    if (start === undefined) return this.#gathered(name, tensor);
    const bytes = allocated(this.#where(name), tensor.byteLength);
    await this.#source.read(bytes, start, `tensor ${quote(name)}`);
    return bytes;
  }

  async readRange(name: string, begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    const tensor = this.#tensor(name);
    const { byteLength } = tensor;
    if (!Number.isInteger(begin) || !Number.isInteger(end) || begin < 0 || begin > end || end > byteLength) {
      throw new FormatError({
        where: this.#where(name),
        what: "this range is not inside the tensor",
        got: `[${begin}, ${end}]`,
        expected: `0 ≤ begin ≤ end ≤ ${byteLength}`,
      });
    }
    const start = this.#plainStart(tensor);
    if (start === undefined) return (await this.#gathered(name, tensor)).slice(begin, end);
    const bytes = allocated(this.#where(name), end - begin);
    await this.#source.read(bytes, start + begin, `tensor ${quote(name)}`);
    return bytes;
  }

  async readInto(name: string, target: ArrayBufferView): Promise<void> {
    const { byteLength } = this.#tensor(name);
    if (target.byteLength !== byteLength) {
      throw new FormatError({
        where: this.#where(name),
        what: "the target has another size than the tensor",
        got: `${target.byteLength} bytes`,
        expected: `${byteLength} bytes`,
      });
    }
    new Uint8Array(target.buffer, target.byteOffset, target.byteLength).set(await this.read(name));
  }

  async readFloat32(name: string): Promise<Float32Array<ArrayBuffer>> {
    const { dtype, shape } = this.#tensor(name);
    if (!isFloatDtype(dtype)) {
      throw new FormatError({
        where: this.#where(name),
        what: "cannot be read as float32",
        got: dtype,
        expected: "F32, F16, BF16 or F64",
        hint: "use read() for the bytes as they are",
      });
    }
    const values = new Float32Array(shape.reduce((product, size) => product * size, 1));
    decodeFloat32(dtype, await this.read(name), values);
    return values;
  }

  async close(): Promise<void> {
    await this.#source.close();
  }

  /** Undefined: its bytes are compressed, or lie in another order. */
  #plainStart(tensor: TorchTensor): number | undefined {
    const { start } = this.#array(tensor);
    return start === undefined || !tensor.isContiguous ? undefined : start + tensor.offset * widthOf(tensor.dtype);
  }

  /** Elements picked by their strides. */
  async #gathered(name: string, tensor: TorchTensor): Promise<Uint8Array<ArrayBuffer>> {
    const { shape, strides, offset, byteLength, dtype } = tensor;
    const target = allocated(this.#where(name), byteLength);
    if (byteLength === 0) return target;
    const { buffer } = await this.#array(tensor).read();
    const [source, elements] = [asElements(buffer, widthOf(dtype)), asElements(target.buffer, widthOf(dtype))];
    const index = shape.map(() => 0);
    let from = offset;
    for (let to = 0; to < elements.length; to++) {
      elements[to] = source[from]!;
      for (let i = shape.length - 1; i >= 0; i--) {
        from += strides[i]!;
        if (++index[i]! < shape[i]!) break;
        from -= strides[i]! * shape[i]!;
        index[i] = 0;
      }
    }
    return target;
  }

  #array({ storage }: TorchTensor): ArrayBytes {
    return this.#layout.arrays.get(storage.key)!;
  }

  #tensor(name: string): TorchTensor {
    const tensor = this.#layout.tensors.get(name);
    if (tensor === undefined) throw noSuchTensor(this, name);
    return tensor;
  }

  #where(name: string): string {
    return `${this.path}: tensor ${quote(name)}`;
  }
}

/** Elements to be moved, whatever they mean. */
function asElements(buffer: ArrayBuffer, width: number): Uint8Array | Uint16Array | Uint32Array | BigUint64Array {
  if (width === 1) return new Uint8Array(buffer);
  if (width === 2) return new Uint16Array(buffer, 0, Math.floor(buffer.byteLength / 2));
  // A storage of bytes may have some that fill no element.
  return width === 4
    ? new Uint32Array(buffer, 0, Math.floor(buffer.byteLength / 4))
    : new BigUint64Array(buffer, 0, Math.floor(buffer.byteLength / 8));
}
