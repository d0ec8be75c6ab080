/** Pickles and zip archives by hand: what no honest program writes. */
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type Part = string | Uint8Array | readonly number[];

/** Opcodes as bytes, and texts as they are (ASCII). */
export function bytesOf(...parts: readonly Part[]): Uint8Array {
  return Buffer.concat(parts.map((part) => Buffer.from(part as string)));
}

/** BINUNICODE. */
export function text(value: string): Uint8Array {
  return bytesOf("X", little(Buffer.byteLength(value), 4), value);
}

/** A count that pickles as BININT, or LONG1 where that is too small. */
export function int(value: number): Uint8Array {
  return value < 2 ** 31 ? bytesOf("J", little(value, 4)) : bytesOf([0x8a, 8], little(value, 8));
}

export function little(value: number, width: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes.subarray(0, width);
}

export interface TensorParts {
  readonly key?: string;
  /** Elements of the storage. */
  readonly numel?: number;
  readonly offset?: number;
  readonly shape?: readonly number[];
  readonly strides?: readonly number[];
  readonly storage?: string;
}

/** A call of _rebuild_tensor_v2. */
export function tensor({
  key = "0",
  numel = 6,
  offset = 0,
  shape = [2, 3],
  strides = [3, 1],
  storage = "FloatStorage",
}: TensorParts = {}): Uint8Array {
  const tuple = (values: readonly number[]) => bytesOf("(", ...values.map(int), "t");
  const id = bytesOf("(", text("storage"), `ctorch\n${storage}\n`, text(key), text("cpu"), int(numel), "tQ");
  return bytesOf(
    "ctorch._utils\n_rebuild_tensor_v2\n(",
    id,
    int(offset),
    tuple(shape),
    tuple(strides),
    [0x89],
    "ccollections\nOrderedDict\n)R",
    "tR",
  );
}

/** `{name: value}` */
export function dict(name: string, value: Part): Uint8Array {
  return bytesOf([0x80, 2], "}", text(name), value, "s.");
}

export interface ZipFileParts {
  readonly name: string;
  readonly data: Uint8Array;
  /** What the archive says that it has. Default: what it has. */
  readonly says?: number;
  readonly method?: number;
  readonly flags?: number;
}

/** An archive of files that are not compressed, whatever `method` says. */
export function zip(files: readonly ZipFileParts[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const { name, data, says = data.length, method = 0, flags = 0 } of files) {
    const both = bytesOf(
      little(20, 2),
      little(flags, 2),
      little(method, 2),
      little(0, 8),
      little(method === 0 ? says : data.length, 4),
      little(says, 4),
      little(name.length, 2),
      little(0, 2),
    );
    const local = bytesOf("PK\u0003\u0004", both, name, data);
    directory.push(bytesOf("PK\u0001\u0002", little(20, 2), both, new Uint8Array(10), little(at, 4), name));
    parts.push(local);
    at += local.length;
  }
  const entries = Buffer.concat(directory);
  const count = little(files.length, 2);
  const end = bytesOf(
    "PK\u0005\u0006",
    little(0, 4),
    count,
    count,
    little(entries.length, 4),
    little(at, 4),
    little(0, 2),
  );
  return Buffer.concat([...parts, entries, end]);
}

/** A file of torch.save with this pickle. @param arrays Default: six floats under the key 0 */
export function torchZip(
  pickle: Uint8Array,
  arrays: Readonly<Record<string, Uint8Array>> = { "0": floats(6) },
): Uint8Array {
  return zip([
    { name: "x/data.pkl", data: pickle },
    ...Object.entries(arrays).map(([key, data]) => ({ name: `x/data/${key}`, data })),
  ]);
}

export function floats(count: number): Uint8Array {
  return new Uint8Array(Float32Array.from({ length: count }, (_, i) => i + 0.5).buffer);
}

const MAGIC = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/** A file in the layout before 1.6. @param numel that it says before its array */
export function legacy(
  pickle: Uint8Array,
  array = floats(6),
  numel = array.length / 4,
  machine: Part = "}.",
): Uint8Array {
  const head = [0x80, 2];
  return bytesOf(
    bytesOf(head, MAGIC, "."),
    bytesOf(head, "M", little(1001, 2), "."),
    bytesOf(head, machine),
    pickle,
    bytesOf(head, "]", text("0"), "a."),
    little(numel, 8),
    array,
  );
}

export async function fileOf(bytes: Uint8Array, name = "file.bin"): Promise<string> {
  const path = join(await mkdtemp(join(tmpdir(), "lowrank-torch-")), name);
  await writeFile(path, bytes);
  return path;
}
