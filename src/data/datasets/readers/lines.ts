/** The lines of a file as bytes: split first, decoded later, so that a bad byte is reported with its line. */
import { DataError } from "../../../errors.ts";
import { byteChunks } from "./bytes.ts";
import { MAX_RECORD_BYTES } from "./reader.ts";

export interface Line {
  /** Without the line end. */
  readonly bytes: Buffer;
  /** From 1. */
  readonly line: number;
}

/**
 * Lines that are not blank. They end in LF or CRLF; the last one needs no end.
 * @throws DataError when the file cannot be read, or a line is longer than {@link MAX_RECORD_BYTES}
 */
export async function* filledLines(path: string): AsyncGenerator<Line, void, void> {
  let line = 1;
  let begun: Buffer[] = [];
  let begunBytes = 0;
  for await (const chunk of byteChunks(path)) {
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
      const rest = chunk.subarray(start, end);
      const bytes = trimmed(begun.length === 0 ? rest : Buffer.concat([...begun, rest]));
      if (begun.length > 0) [begun, begunBytes] = [[], 0];
      if (bytes.length > 0) yield { bytes, line };
      line++;
      start = end + 1;
    }
    if (start === chunk.length) continue;
    begun.push(chunk.subarray(start));
    begunBytes += chunk.length - start;
    if (begunBytes > MAX_RECORD_BYTES) throw tooLong(path, line);
  }
  const bytes = trimmed(Buffer.concat(begun));
  if (bytes.length > 0) yield { bytes, line };
}

export function tooLong(path: string, line: number): DataError {
  return new DataError({
    where: `${path}:${line}`,
    what: "a record is too long",
    got: `more than ${MAX_RECORD_BYTES / 2 ** 20} MiB`,
    hint: "is this really a text file with one record after the other?",
  });
}

/** Without the CR of a CRLF; empty if there is nothing but white space. */
function trimmed(bytes: Buffer): Buffer {
  const end = bytes.at(-1) === 0x0d ? bytes.length - 1 : bytes.length;
  for (let i = 0; i < end; i++) {
    const byte = bytes[i]!;
    if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0d) return end === bytes.length ? bytes : bytes.subarray(0, end);
  }
  return bytes.subarray(0, 0);
}
