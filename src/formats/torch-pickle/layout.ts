/**
 * The two ways in which PyTorch lays out a file.
 *
 * Since 1.6 it is a zip archive: `NAME/data.pkl`, the pickle, and for each array `NAME/data/KEY` with its bytes. Before, four
 * pickles follow each other (a magic number, the protocol 1001, facts about the machine, the objects), then a pickled list
 * of keys, then for each key the number of elements (int64) and the bytes. Bytes are little-endian, or said not to be.
 */
import { FormatError } from "../../errors.ts";
import { byteLengthOf, type Dtype } from "../safetensors/dtype.ts";
import type { FileSource } from "../safetensors/source.ts";
import { quote } from "../safetensors/strict-json.ts";
import { type PickleDict, type PickleWorld, unpickle } from "./pickle.ts";
import { findTensors, type Found, torchWorld, type TorchStorage } from "./tensors.ts";
import { openZip, type ZipMember } from "./zip.ts";

/** An array of a file. */
export interface ArrayBytes {
  /** Where its bytes start in the file; undefined if they are compressed. */
  readonly start: number | undefined;
  readonly bytes: number;
  read(): Promise<Uint8Array<ArrayBuffer>>;
}

export interface Layout extends Found {
  readonly arrays: ReadonlyMap<string, ArrayBytes>;
}

/** Of a pickle: 200 bytes for each of 300,000 tensors. */
const MAX_PICKLE_BYTES = 64 * 2 ** 20;
const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;
const ZIP = [0x50, 0x4b];

/** @throws FormatError if it is not a file that PyTorch wrote, or holds more than tensors */
export async function readLayout(source: FileSource): Promise<Layout> {
  const start = new Uint8Array(Math.min(2, source.bytes));
  await source.read(start, 0, "start");
  return start[0] === ZIP[0] && start[1] === ZIP[1] ? readArchive(source) : readLegacy(source);
}

async function readArchive(source: FileSource): Promise<Layout> {
  const members = await openZip(source);
  const pickles = [...members.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  const [pickle, ...more] = pickles;
  if (pickle === undefined || more.length > 0) {
    throw new FormatError({
      where: source.path,
      what: "is a zip archive, but not one of PyTorch",
      got: pickle === undefined ? "no data.pkl" : `${pickles.length} of data.pkl`,
      expected: "one NAME/data.pkl",
    });
  }
  const root = pickle.slice(0, pickle.indexOf("/"));
  await expectLittleEndian(source.path, members.get(`${root}/byteorder`));
  const member = members.get(pickle)!;
  expectPickle(source.path, member.bytes);
  const found = findTensors(unpickle(await member.read(), torchWorld(source.path), source.path).value, source.path);
  const arrays = new Map<string, ArrayBytes>();
  for (const storage of storagesOf(found)) {
    const bytes = members.get(`${root}/data/${storage.key}`);
    if (bytes === undefined) throw missing(source.path, storage.key);
    expectLength(source.path, storage, bytes.bytes);
    arrays.set(storage.key, bytes);
  }
  return { ...found, arrays };
}

async function expectLittleEndian(where: string, member: ZipMember | undefined): Promise<void> {
  if (member === undefined || member.bytes > 16) return;
  const order = new TextDecoder().decode(await member.read());
  if (order === "little") return;
  throw new FormatError({
    where,
    what: "has bytes in an order that is not read",
    got: quote(order),
    expected: "little",
  });
}

async function readLegacy(source: FileSource): Promise<Layout> {
  // The pickles come first, and nobody says how long they are.
  const head = new Uint8Array(Math.min(source.bytes, MAX_PICKLE_BYTES));
  await source.read(head, 0, "pickles");
  const world = torchWorld(source.path);
  let at = 0;
  const next = (allowed: PickleWorld = world): unknown => {
    const { value, end } = unpickle(head.subarray(at), allowed, source.path);
    at += end;
    return value;
  };
  let magic: unknown;
  try {
    magic = next();
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw notTorch(source.path, "the start of the file is none", cause);
  }
  if (magic !== MAGIC) throw notTorch(source.path, "its first number is another one");
  const protocol = next();
  if (protocol !== PROTOCOL) {
    throw new FormatError({ where: source.path, what: "has another protocol", got: protocol, expected: PROTOCOL });
  }
  const machine = next() as PickleDict | null;
  if (machine instanceof Map && machine.get("little_endian") === false) {
    throw new FormatError({
      where: source.path,
      what: "has bytes in an order that is not read",
      got: "big",
      expected: "little",
    });
  }
  const found = findTensors(next(), source.path);
  const keys = next();
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === "string")) {
    throw new FormatError({ where: source.path, what: "has no list of its arrays", hint: "the file is damaged" });
  }
  const widths = new Map<string, TorchStorage>();
  for (const storage of storagesOf(found)) widths.set(storage.key, storage);
  const arrays = new Map<string, ArrayBytes>();
  for (const key of keys) {
    const storage = widths.get(key);
    const count = await elementCount(source, at);
    // An array that no tensor shows: its type, and so its length, is not known, and what follows cannot be found.
    if (storage === undefined) {
      if (key === keys.at(-1)) break;
      throw new FormatError({ where: source.path, what: "has an array that belongs to no tensor", got: quote(key) });
    }
    const bytes = count * widthOf(storage.dtype);
    const start = at + 8;
    if (!(start + bytes <= source.bytes)) {
      throw new FormatError({
        where: `${source.path}: array ${quote(key)}`,
        what: "the file ended early",
        got: `${source.bytes} bytes`,
        expected: `${start + bytes}`,
        hint: "fetch the file again: it was cut",
      });
    }
    arrays.set(key, { start, bytes, read: () => readPlain(source, start, bytes) });
    at = start + bytes;
  }
  for (const storage of storagesOf(found)) {
    const array = arrays.get(storage.key);
    if (array === undefined) throw missing(source.path, storage.key);
    if (storage.start + storage.length > array.bytes / widthOf(storage.dtype)) {
      expectLength(source.path, storage, array.bytes);
    }
  }
  return { ...found, arrays };
}

async function elementCount(source: FileSource, at: number): Promise<number> {
  const bytes = new Uint8Array(8);
  await source.read(bytes, at, "number of elements of an array");
  const count = new DataView(bytes.buffer).getBigInt64(0, true);
  if (count < 0n || count > BigInt(source.bytes)) {
    throw new FormatError({
      where: source.path,
      what: "an array says that it has more elements than the file has bytes",
      got: String(count),
      hint: "the file is damaged",
    });
  }
  return Number(count);
}

async function readPlain(source: FileSource, start: number, bytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const target = new Uint8Array(bytes);
  await source.read(target, start, "array");
  return target;
}

function* storagesOf({ tensors }: Found): Iterable<TorchStorage> {
  for (const { storage } of tensors.values()) yield storage;
}

/** Bytes of an element; of untyped bytes 1. */
export function widthOf(dtype: Dtype | undefined): number {
  return dtype === undefined ? 1 : (byteLengthOf(dtype, []) as number);
}

function expectLength(where: string, { key, dtype, length, start }: TorchStorage, bytes: number): void {
  const said = (start + length) * widthOf(dtype);
  if (said === bytes) return;
  throw new FormatError({
    where: `${where}: array ${quote(key)}`,
    what: "has another length than its pickle says",
    got: `${bytes} bytes`,
    expected: `${said}`,
    hint: "the file is damaged",
  });
}

function expectPickle(where: string, bytes: number): void {
  if (bytes <= MAX_PICKLE_BYTES) return;
  throw new FormatError({
    where,
    what: "its pickle is too long to hold tensors alone",
    got: `${bytes} bytes`,
    expected: `at most ${MAX_PICKLE_BYTES}`,
  });
}

function missing(where: string, key: string): FormatError {
  return new FormatError({
    where,
    what: "an array of a tensor is missing",
    got: quote(key),
    hint: "the file is damaged",
  });
}

function notTorch(where: string, got: string, cause?: unknown): FormatError {
  return new FormatError({
    where,
    what: "is not a file of torch.save",
    got,
    ...(cause === undefined ? {} : { cause }),
    hint: "files of PyTorch before 0.1.10 (tar) and of other programs are not read",
  });
}
