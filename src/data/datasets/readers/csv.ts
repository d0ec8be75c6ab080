/** `.csv` and `.tsv` (RFC 4180; tabs in the latter), with the names of the columns in the first line. */
import { pipeline, Readable } from "node:stream";
import { CsvError, parse } from "csv-parse";
import { DataError } from "../../../errors.ts";
import { textChunks } from "./bytes.ts";
import { countUpTo, MAX_RECORD_BYTES } from "./reader.ts";
import type { NumberedRecord, Reader } from "./reader.ts";

export const csv: Reader = delimited("csv", ",");
export const tsv: Reader = delimited("tsv", "\t");

function delimited(extension: string, delimiter: string): Reader {
  const reader: Reader = {
    extensions: [extension],
    records: (path) => rows(path, delimiter),
    // Quoted fields may hold line ends: only parsing tells the records.
    count: (path, atMost) => countUpTo(rows(path, delimiter), atMost),
  };
  return reader;
}

async function* rows(path: string, delimiter: string): AsyncGenerator<NumberedRecord, void, void> {
  const parser = parse({
    delimiter,
    columns: (names: string[]) => checkedNames(names, path),
    info: true,
    skip_empty_lines: true,
  });
  const given = { bytes: 0, parsed: 0 };
  const text = Readable.from(watched(path, given), { objectMode: false });
  // The iteration below reports what goes wrong; the pipeline only has to close both ends.
  pipeline(text, parser, () => {});
  let carriageReturns = 0;
  try {
    for await (const { record, info } of parser as AsyncIterable<Parsed>) {
      given.parsed = info.bytes;
      // The parser takes a CRLF in a quoted field for two line ends.
      carriageReturns += count(record, "\r");
      yield { record, line: info.lines - carriageReturns - count(record, "\n") };
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw asDataError(error, path, delimiter);
  } finally {
    text.destroy();
  }
}

interface Parsed {
  readonly record: Record<string, string>;
  /** `lines`: the line that the record ends on. */
  readonly info: { readonly lines: number; readonly bytes: number };
}

/**
 * The text of the file, as long as records come out of it. The parser's own limit for records makes it a half slower.
 * @throws DataError when a record does not end
 */
async function* watched(path: string, given: { bytes: number; parsed: number }): AsyncGenerator<string, void, void> {
  for await (const piece of textChunks(path)) {
    given.bytes += Buffer.byteLength(piece);
    if (given.bytes - given.parsed > MAX_RECORD_BYTES) {
      throw new DataError({ where: path, what: "a record does not end", hint: "is a double quote not closed?" });
    }
    yield piece;
  }
}

/** How often a character is in the fields of a record. */
function count(record: Readonly<Record<string, string>>, character: string): number {
  let found = 0;
  for (const value of Object.values(record)) {
    for (let at = value.indexOf(character); at >= 0; at = value.indexOf(character, at + 1)) found++;
  }
  return found;
}

function checkedNames(names: readonly string[], path: string): string[] {
  const trimmed = names.map((name) => name.trim());
  const doubled = trimmed.find((name, i) => trimmed.indexOf(name) !== i);
  if (doubled !== undefined) {
    throw new DataError({
      where: `${path}:1`,
      what: "two columns have one name",
      got: doubled === "" ? "columns without a name" : doubled,
      hint: "the first line holds the names of the columns",
    });
  }
  return trimmed;
}

function asDataError(error: CsvError, path: string, delimiter: string): DataError {
  const line = (error as { lines?: unknown }).lines;
  const where = typeof line === "number" ? `${path}:${line}` : path;
  const isRagged = error.code === "CSV_RECORD_INCONSISTENT_COLUMNS";
  const comma = delimiter === "," ? "a comma" : "a tab";
  return new DataError({
    where,
    what: error.message.replace(/[ ,]*(at|on) line \d+$/, "").replace(/: got.*$/s, ""),
    hint: isRagged
      ? `a field with ${comma} or a line end in it stands in double quotes`
      : 'a double quote inside a quoted field is written twice: ""',
    cause: error,
  });
}
