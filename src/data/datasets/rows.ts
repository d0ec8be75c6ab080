/** What iterating a data set gives. */
import type { Sample, Source } from "../sample.ts";

/** A record that is no sample. It is not fatal by itself: reports count it, with its place. */
export interface BadRow {
  readonly kind: "bad";
  readonly source: Source;
  /** What is wrong with it, for a person: `column "output" is empty`. */
  readonly reason: string;
}

export type Row = Sample | BadRow;

/** Rows in a fixed order: every iteration starts at the first and gives the same ones. Nothing is kept in memory. */
export interface DatasetStream extends AsyncIterable<Row> {
  /** How many rows an iteration gives, bad ones included. Reads the files once, faster than iterating; then remembered. */
  count(): Promise<number>;
}
