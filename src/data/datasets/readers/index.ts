/** The kinds of files that data sets are read from. To add one: a file here, and a line in this list. */
import { DataError } from "../../../errors.ts";
import { csv, tsv } from "./csv.ts";
import { json } from "./json.ts";
import { jsonl } from "./jsonl.ts";
import { parquet } from "./parquet.ts";
import type { Reader } from "./reader.ts";
import { text } from "./text.ts";

export const READERS: readonly Reader[] = [json, jsonl, csv, tsv, parquet, text];

/** Endings of file names that can be read. Each but `.parquet` may have `.gz` after it. */
export const EXTENSIONS: readonly string[] = READERS.flatMap(({ extensions }) => extensions);

/** The reader for a file, by the ending of its name; undefined where there is none. */
export function findReader(path: string): Reader | undefined {
  const [, extension, gz] = /\.([^./\\]+?)(\.gz)?$/i.exec(path) ?? [];
  if (extension === undefined) return undefined;
  const found = READERS.find(({ extensions }) => extensions.includes(extension.toLowerCase()));
  return found === parquet && gz !== undefined ? undefined : found;
}

/** @throws DataError when no reader knows the ending */
export function readerOf(path: string): Reader {
  const reader = findReader(path);
  if (reader !== undefined) return reader;
  throw new DataError({
    where: path,
    what: "a file of this kind cannot be read",
    expected: EXTENSIONS.map((extension) => `.${extension}`).join(" "),
    hint: path.endsWith(".arrow")
      ? "save the data set as Parquet or JSON lines: datasets.load_from_disk(…).to_parquet(…)"
      : "convert it to JSON lines: one object a line, in a file that ends in .jsonl",
  });
}
