/** The bytes of a text file, unpacked where its name ends in `.gz`, without a byte-order mark; and their decoding. */
import { isUtf8 } from "node:buffer";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { DataError } from "../../../errors.ts";

const CHUNK_BYTES = 256 * 1024;
const NOT_UTF8_HINT = "convert it, for example: iconv -f LATIN1 -t UTF-8 FILE > NEW";

/** @throws DataError when the file cannot be read, is damaged gzip, or is UTF-16 */
export async function* byteChunks(path: string): AsyncGenerator<Buffer, void, void> {
  await requireFile(path);
  const file = createReadStream(path, { highWaterMark: CHUNK_BYTES });
  // The iteration below reports what goes wrong; the pipeline only has to close both ends.
  const bytes = /\.gz$/i.test(path) ? pipeline(file, createGunzip({ chunkSize: CHUNK_BYTES }), () => {}) : file;
  let isFirst = true;
  try {
    for await (const chunk of bytes as AsyncIterable<Buffer>) {
      yield isFirst ? withoutMark(chunk, path) : chunk;
      isFirst = false;
    }
  } catch (error) {
    throw asDataError(error, path);
  } finally {
    file.destroy();
  }
}

/** @throws DataError naming the place when the bytes are not UTF-8 */
export function decodeUtf8(bytes: Buffer, path: string, line: number): string {
  if (!isUtf8(bytes)) {
    throw new DataError({ where: `${path}:${line}`, what: "not UTF-8 text", hint: NOT_UTF8_HINT });
  }
  return bytes.toString("utf8");
}

/** The text of a file in pieces. @throws DataError naming the line when the bytes are not UTF-8 */
export async function* textChunks(path: string): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let line = 1;
  const decode = (bytes?: Buffer) => {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
    } catch (cause) {
      const lineOfFault = line + (bytes === undefined ? 0 : newlinesBeforeFault(bytes));
      throw new DataError({ where: `${path}:${lineOfFault}`, what: "not UTF-8 text", hint: NOT_UTF8_HINT, cause });
    }
  };
  for await (const chunk of byteChunks(path)) {
    const text = decode(chunk);
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) line++;
    yield text;
  }
  yield decode();
}

/** Line ends before the first line that is not UTF-8 by itself: no byte of a longer character is a line end. */
function newlinesBeforeFault(bytes: Buffer): number {
  let newlines = 0;
  for (let from = 0, to = bytes.indexOf(0x0a); to >= 0; from = to + 1, to = bytes.indexOf(0x0a, from)) {
    // The first line may start amid a character that the piece before began.
    if (from > 0 && !isUtf8(bytes.subarray(from, to))) break;
    newlines++;
  }
  return newlines;
}

async function requireFile(path: string): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    throw asDataError(error, path);
  });
  // A pipe would block, and a folder cannot be read as bytes.
  if (!found.isFile()) throw new DataError({ where: path, what: "is not a regular file" });
}

function withoutMark(chunk: Buffer, path: string): Buffer {
  const [a, b, c] = chunk;
  if ((a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff)) {
    throw new DataError({
      where: path,
      what: "the text is UTF-16",
      expected: "UTF-8",
      hint: "convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW",
    });
  }
  return a === 0xef && b === 0xbb && c === 0xbf ? chunk.subarray(3) : chunk;
}

/** What the system or zlib says, as a message about the file; anything else as it is. */
export function asDataError(error: unknown, path: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (typeof code !== "string" || error instanceof DataError) return error;
  if (code === "ENOENT") return new DataError({ where: path, what: "there is no such file", cause: error });
  if (code.startsWith("Z_")) {
    return new DataError({ where: path, what: `damaged gzip: ${message}`, hint: "copy it again", cause: error });
  }
  if (!code.startsWith("E")) return error;
  return new DataError({ where: path, what: `cannot be read: ${message}`, cause: error });
}
