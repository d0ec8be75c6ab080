/**
 * The header of a safetensors file, parsed and checked.
 *
 *     8 bytes   N, the length of the header, unsigned little-endian
 *     N bytes   a JSON object in UTF-8 that starts with "{" and may end in spaces:
 *               { "__metadata__": { string: string }, name: { "dtype", "shape", "data_offsets": [begin, end] }, … }
 *     the rest  the data; offsets count from its start, and every byte belongs to exactly one tensor
 *
 * Source: the format description of the reference implementation. Stricter than it in three ways: equal names, unknown
 * fields of a tensor and tensors that are written as lists are refused rather than read in one of two ways.
 */
import { FormatError } from "../../errors.ts";
import { byteLengthOf, DTYPES, isDtype } from "./dtype.ts";
import type { Dtype } from "./dtype.ts";
import { quote, StrictJson } from "./strict-json.ts";

/** Bytes of the length field in front of the header. */
export const LENGTH_BYTES = 8;

/** The longest header that the format allows, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;

/** The key of the file's own metadata, which no tensor can have as its name. */
export const METADATA_KEY = "__metadata__";

/** Dimensions that a tensor may have: NumPy's limit, far above any model, so that a hostile shape stays short. */
const MAX_RANK = 64;

const REWRITE = "the file is damaged or was written by a faulty program: fetch it again or write it anew";

/** One tensor of a file, and where its bytes are. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: Dtype;
  /** Sizes of the dimensions, outermost first; empty for a scalar. */
  readonly shape: readonly number[];
  /** Real path of the file that holds the bytes. */
  readonly path: string;
  /** Where the bytes start, counted from the start of the FILE (not of its data section). */
  readonly byteOffset: number;
  readonly byteLength: number;
}

export interface Header {
  /** Tensors in the order of their bytes. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** `__metadata__` of the file, an object without a prototype; empty when the file has none. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** What identifies the file in a header check. */
export interface HeaderContext {
  /** Real path of the file. */
  readonly path: string;
  readonly fileBytes: number;
}

/**
 * Checks the length field, before anything of that length is allocated.
 *
 * @param start the first bytes of the file: 9, or all of them if there are fewer.
 * @returns the length of the header in bytes.
 * @throws FormatError when the field is missing, zero, past the format's limit or past the end of the file, or when
 *   what follows it is not an object.
 */
export function parseHeaderLength(start: Uint8Array, { path, fileBytes }: HeaderContext): number {
  if (start.byteLength < LENGTH_BYTES) {
    throw new FormatError({
      where: path,
      what: "the file is too short to be safetensors",
      got: `${fileBytes} bytes`,
      expected: `at least ${LENGTH_BYTES}`,
      hint: otherKind(start) ?? REWRITE,
    });
  }
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  const fail = (what: string, expected: string): never => {
    throw new FormatError({ where: path, what, got: `${length} bytes`, expected, hint: otherKind(start) ?? REWRITE });
  };
  if (length === 0n) fail("the header has no length", "at least 2 bytes, for {}");
  if (length > MAX_HEADER_BYTES) {
    fail("the header is longer than the format allows", `at most ${MAX_HEADER_BYTES} bytes`);
  }
  if (length > fileBytes - LENGTH_BYTES) {
    fail("the header reaches past the end of the file", `at most ${fileBytes - LENGTH_BYTES} bytes, which follow it`);
  }
  const first = start[LENGTH_BYTES];
  if (first !== undefined && first !== 0x7b) {
    throw new FormatError({
      where: path,
      what: "the header does not start with an object",
      got: `byte 0x${first.toString(16).padStart(2, "0")}`,
      expected: '0x7b, which is "{"',
      hint: otherKind(start) ?? REWRITE,
    });
  }
  return Number(length);
}

/** A hint for the files that people give in place of safetensors. */
function otherKind(start: Uint8Array): string | undefined {
  const text = String.fromCharCode(...start.subarray(0, LENGTH_BYTES));
  if (text.startsWith("version ")) return "this is a Git LFS pointer, not the file itself: run `git lfs pull`";
  if (text.startsWith("PK\u0003\u0004")) return "this is a PyTorch (.bin, .pt) or zip file: convert it to safetensors";
  if (text.startsWith("GGUF")) return "this is a GGUF file, not safetensors";
  return undefined;
}

/**
 * Parses and checks a whole header.
 *
 * @param bytes the header without its length field, in the length that the field says.
 * @throws FormatError on the first thing that does not follow the format, with the names of file and tensor.
 */
export function parseHeader(bytes: Uint8Array, context: HeaderContext): Header {
  const { path, fileBytes } = context;
  const json = new StrictJson(decodeUtf8(bytes, path), `${path}: header`, REWRITE);
  const dataOffset = LENGTH_BYTES + bytes.byteLength;
  const found: TensorEntry[] = [];
  const metadata: Record<string, string> = Object.create(null) as Record<string, string>;
  json.object("the header", (name) => {
    if (name === METADATA_KEY) {
      json.object(METADATA_KEY, (key) => {
        metadata[key] = json.string(`${METADATA_KEY} ${quote(key)}`);
      });
    } else {
      found.push(parseTensor(json, name, context, dataOffset));
    }
  });
  json.end();
  checkCoverage(found, dataOffset, fileBytes);
  checkEnd(found.at(-1), dataOffset, context);
  return { tensors: new Map(found.map((entry) => [entry.name, entry])), metadata };
}

function decodeUtf8(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError({ where: path, what: "the header is not UTF-8", hint: REWRITE, cause });
  }
}

function parseTensor(json: StrictJson, name: string, { path }: HeaderContext, dataOffset: number): TensorEntry {
  const tensor = `tensor ${quote(name)}`;
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  json.object(tensor, (field) => {
    switch (field) {
      case "dtype":
        dtype = json.string(`dtype of ${tensor}`);
        return;
      case "shape":
        shape = wholeNumbers(json, `shape of ${tensor}`, MAX_RANK);
        return;
      case "data_offsets":
        offsets = wholeNumbers(json, `data_offsets of ${tensor}`, 2);
        if (offsets.length < 2) {
          json.fail(`data_offsets of ${tensor} has too few numbers`, {
            got: JSON.stringify(offsets),
            expected: "[begin, end]",
          });
        }
        return;
      default:
        json.fail(`${tensor} has an unknown field`, {
          got: quote(field),
          expected: '"dtype", "shape" and "data_offsets"',
        });
    }
  });
  const where = `${path}: ${tensor}`;
  if (dtype === undefined || shape === undefined || offsets === undefined) {
    const missing = Object.entries({ dtype, shape, data_offsets: offsets }).filter(([, value]) => value === undefined);
    throw new FormatError({ where, what: `has no ${missing.map(([field]) => field).join(", no ")}`, hint: REWRITE });
  }
  if (!isDtype(dtype)) {
    throw new FormatError({
      where,
      what: "unknown dtype",
      got: quote(dtype),
      expected: DTYPES.join(", "),
      hint: REWRITE,
    });
  }
  const [begin = 0, end = 0] = offsets;
  const expected = byteLengthOf(dtype, shape);
  const what = `${dtype} [${shape.join(", ")}]`;
  if (typeof expected === "string")
    throw new FormatError({ where, what: `${what} cannot be: ${expected}`, hint: REWRITE });
  if (begin > end) {
    throw new FormatError({
      where,
      what: "data_offsets end before they begin",
      got: `[${begin}, ${end}]`,
      expected: "[begin, end] with begin ≤ end",
      hint: REWRITE,
    });
  }
  if (end - begin !== expected) {
    throw new FormatError({
      where,
      what: `data_offsets [${begin}, ${end}] do not fit ${what}`,
      got: `${end - begin} bytes`,
      expected: `${expected} bytes`,
      hint: REWRITE,
    });
  }
  return { name, dtype, shape, path, byteOffset: dataOffset + begin, byteLength: expected };
}

function wholeNumbers(json: StrictJson, about: string, most: number): number[] {
  const values: number[] = [];
  json.list(about, () => {
    if (values.length === most) json.fail(`${about} has too many numbers`, { expected: `at most ${most}` });
    values.push(json.wholeNumber(about));
  });
  return values;
}

/** Sorts the tensors by position and checks that they follow each other without hole or overlap, inside the file. */
function checkCoverage(entries: TensorEntry[], dataOffset: number, fileBytes: number): void {
  entries.sort((a, b) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength);
  let previous: TensorEntry | undefined;
  let next = dataOffset;
  for (const entry of entries) {
    const { name, path, byteOffset, byteLength } = entry;
    const where = `${path}: tensor ${quote(name)}`;
    const range = `[${byteOffset - dataOffset}, ${byteOffset + byteLength - dataOffset}]`;
    if (byteOffset + byteLength > fileBytes) {
      throw new FormatError({
        where,
        what: `data_offsets ${range} reach past the end of the file`,
        got: `${fileBytes - dataOffset} bytes of data`,
        expected: `at least ${byteOffset + byteLength - dataOffset}`,
        hint: "the file is cut short: copy or download it again",
      });
    }
    if (byteOffset !== next) {
      const after = previous === undefined ? "the start of the data" : `the end of ${quote(previous.name)}`;
      throw new FormatError({
        where,
        what:
          byteOffset < next
            ? `data_offsets ${range} overlap tensor ${quote(previous?.name ?? "")}`
            : `data_offsets ${range} leave a hole after ${after}`,
        got: `begin ${byteOffset - dataOffset}`,
        expected: `begin ${next - dataOffset}`,
        hint: REWRITE,
      });
    }
    next = byteOffset + byteLength;
    previous = entry;
  }
}

function checkEnd(last: TensorEntry | undefined, dataOffset: number, { path, fileBytes }: HeaderContext): void {
  const end = last === undefined ? dataOffset : last.byteOffset + last.byteLength;
  if (end === fileBytes) return;
  throw new FormatError({
    where: path,
    what: `bytes that belong to no tensor follow ${last === undefined ? "the header" : `tensor ${quote(last.name)}`}`,
    got: `a file of ${fileBytes} bytes`,
    expected: `${end} bytes`,
    hint: REWRITE,
  });
}
