/** `.parquet`, one row group at a time: that is what is in memory, besides the pages being unpacked. */
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import type { AsyncBuffer, FileMetaData } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { DataError } from "../../../errors.ts";
import { asDataError } from "./bytes.ts";
import type { JsonRecord, Reader } from "./reader.ts";

export const parquet: Reader = {
  extensions: ["parquet"],

  async *records(path) {
    const { file, metadata } = await open(path);
    let rowStart = 0;
    for (const group of metadata.row_groups) {
      const rowEnd = rowStart + Number(group.num_rows);
      const rows = await parquetReadObjects({ file, metadata, rowStart, rowEnd, compressors }).catch(
        (error: unknown) => {
          throw damaged(error, path);
        },
      );
      for (const [i, row] of rows.entries()) yield { record: plain(row) as JsonRecord, line: rowStart + i + 1 };
      rowStart = rowEnd;
    }
  },

  async count(path, atMost) {
    const { metadata } = await open(path);
    return Math.min(Number(metadata.num_rows), atMost);
  },
};

async function open(path: string): Promise<{ file: AsyncBuffer; metadata: FileMetaData }> {
  try {
    const file = await asyncBufferFromFile(path);
    return { file, metadata: await parquetMetadataAsync(file) };
  } catch (error) {
    throw damaged(error, path);
  }
}

function damaged(error: unknown, path: string): unknown {
  const known = asDataError(error, path);
  if (known !== error || !(error instanceof Error)) return known;
  const hint = "copy or download it again";
  return new DataError({ where: path, what: `not a sound Parquet file: ${error.message}`, hint, cause: error });
}

/** A value as JSON would have it: 64-bit integers become numbers (text where that would lose digits), dates become text. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  }
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}
