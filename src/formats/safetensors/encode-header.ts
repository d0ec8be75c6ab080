/**
 * The header of a safetensors file that is to be written: order of the tensors, checks, bytes.
 *
 * The layout is the one in header.ts. Order and padding are those of the reference implementation, so that the same
 * tensors give the same bytes.
 */
import { FormatError } from "../../errors.ts";
import { byteLengthOf, compareDtypes, DTYPES, isDtype } from "./dtype.ts";
import type { Dtype } from "./dtype.ts";
import { LENGTH_BYTES, MAX_HEADER_BYTES, METADATA_KEY } from "./header.ts";
import { quote } from "./strict-json.ts";

/** A tensor that is going to be written. */
export interface TensorLayout {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/**
 * The order in which the reference implementation stores tensors: wide data types first, so that each start is aligned
 * to the width, and by name within one type.
 */
export function compareLayouts(a: TensorLayout, b: TensorLayout): number {
  return compareDtypes(b.dtype, a.dtype) || compareCodePoints(a.name, b.name);
}

/** The reference's order, that of UTF-8 bytes; `<` on strings differs from it outside the basic plane. */
function compareCodePoints(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    if (a.charCodeAt(i) !== b.charCodeAt(i)) return (a.codePointAt(i) ?? 0) - (b.codePointAt(i) ?? 0);
  }
  return a.length - b.length;
}

/**
 * The bytes in front of the data: length field and header, padded with spaces to a multiple of 8.
 *
 * @param tensors in the order of their data.
 * @param path the file to be written, for messages.
 * @throws FormatError for a name, shape, data type or metadata value that the format cannot hold.
 */
export function encodeHeader(
  tensors: readonly TensorLayout[],
  metadata: Readonly<Record<string, string>>,
  path: string,
): Uint8Array {
  const members: string[] = [];
  const pairs = Object.entries(metadata).map(([key, value]) => {
    checkText(key, `${path}: ${METADATA_KEY} key`);
    checkText(value, `${path}: ${METADATA_KEY} ${quote(key)}`);
    return `${JSON.stringify(key)}:${JSON.stringify(value)}`;
  });
  if (pairs.length > 0) members.push(`"${METADATA_KEY}":{${pairs.join(",")}}`);
  let begin = 0;
  const seen = new Set<string>();
  for (const layout of tensors) {
    const { name, dtype, shape } = layout;
    const byteLength = checkLayout(layout, path);
    if (seen.has(name)) {
      throw new FormatError({
        where: path,
        what: `two tensors have the name ${quote(name)}`,
        hint: "give each tensor a name of its own",
      });
    }
    seen.add(name);
    const end = begin + byteLength;
    const fields = JSON.stringify({ dtype, shape, data_offsets: [begin, end] });
    members.push(`${JSON.stringify(name)}:${fields}`);
    begin = end;
  }
  const text = new TextEncoder().encode(`{${members.join(",")}}`);
  const padded = Math.ceil(text.byteLength / 8) * 8;
  if (padded > MAX_HEADER_BYTES) {
    throw new FormatError({
      where: path,
      what: "the header would be longer than the format allows",
      got: `${padded} bytes for ${tensors.length} tensors`,
      expected: `at most ${MAX_HEADER_BYTES}`,
      hint: "write the tensors into several files",
    });
  }
  const bytes = new Uint8Array(LENGTH_BYTES + padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(text, LENGTH_BYTES);
  return bytes;
}

/**
 * Checks one tensor before it is written.
 *
 * @returns its bytes.
 * @throws FormatError for a name, data type or shape that the format cannot hold.
 */
export function checkLayout({ name, dtype, shape }: TensorLayout, path: string): number {
  checkText(name, `${path}: name of a tensor`);
  const where = `${path}: tensor ${quote(name)}`;
  if (name === METADATA_KEY) {
    throw new FormatError({ where, what: "this name is the format's own", hint: "name the tensor otherwise" });
  }
  if (!isDtype(dtype)) {
    throw new FormatError({ where, what: "unknown dtype", got: String(dtype), expected: DTYPES.join(", ") });
  }
  const byteLength = byteLengthOf(dtype, shape);
  if (typeof byteLength === "string") {
    throw new FormatError({ where, what: `${dtype} [${shape.join(", ")}] cannot be: ${byteLength}` });
  }
  return byteLength;
}

function checkText(value: unknown, where: string): void {
  if (typeof value !== "string") {
    throw new FormatError({ where, what: "is not a string", got: value, expected: "a string" });
  }
  if (/\p{Surrogate}/u.test(value)) {
    throw new FormatError({ where, what: "is not well-formed Unicode", got: JSON.stringify(value) });
  }
}
