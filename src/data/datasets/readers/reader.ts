/** What every reader of a file format gives: records, one at a time, with the place they were found at. */

/** One row of a file, as its format has it. Look fields up with {@link field}. */
export type JsonRecord = Readonly<Record<string, unknown>>;

export interface NumberedRecord {
  readonly record: JsonRecord;
  /** See `Source.line` in sample.ts. */
  readonly line: number;
}

export interface Reader {
  /** Endings of file names, without the dot. */
  readonly extensions: readonly string[];
  /**
   * Reads from the start; memory stays bounded by the largest record (in Parquet: row group), and nothing more is read
   * after the consumer stops.
   * @throws DataError naming file and line when the file cannot be read or does not follow its format
   */
  records(path: string): AsyncGenerator<NumberedRecord, void, void>;
  /**
   * How many records there are, as cheaply as the format allows; counting stops at `atMost`.
   * @throws DataError as {@link records} does, for what counting notices
   */
  count(path: string, atMost: number): Promise<number>;
}

/** A record this large is a file without line ends or with a quote that never closes, and would fill the memory. */
export const MAX_RECORD_BYTES = 256 * 2 ** 20;

/** The value of a field; undefined where the record has none of its own. */
export function field(record: JsonRecord, name: string): unknown {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

export function isObject(value: unknown): value is JsonRecord {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The number of items, up to `atMost`. */
export async function countUpTo(items: AsyncIterable<unknown>, atMost: number): Promise<number> {
  let count = 0;
  if (atMost <= 0) return 0;
  for await (const _ of items) if (++count >= atMost) break;
  return count;
}
