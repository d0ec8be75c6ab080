/** Where a run's rows come from: in which order, and from which place on. */
import { lengthGrouped } from "./length-groups.ts";
import { type Encoded, IGNORED, type Source } from "./sample.ts";
import { Random } from "../random.ts";

/** A row to train on, and where it was read, for messages. */
export interface Row extends Encoded {
  /** Of its examples, if it is known. */
  readonly sources?: readonly Source[];
}

export interface RowSource {
  /** Rows of one pass. Absent: not known, the source is read as it comes. */
  readonly length?: number;
  /** Supervised tokens of a row at most. */
  readonly maxSupervised: number;
  /**
   * The rows of a pass, in its order, without the first `from`: the same ones whenever it is asked.
   * @param epoch number of the pass, from 0
   */
  rows(epoch: number, from: number): AsyncIterable<Row>;
}

/** The order of the rows in a pass. */
export interface RowOrder {
  /** Another order in every epoch; undefined leaves the rows as they are. */
  readonly seed: number | undefined;
  /** Rows of a step, which are to be of similar lengths. Default: lengths do not matter. */
  readonly groupOf?: number;
}

/** Rows in memory. @param order default: as they are */
export function memoryRows(rows: readonly Row[], order: RowOrder = { seed: undefined }): RowSource {
  const lengthOf = (row: number) => rows[row]!.inputIds.length;
  return {
    length: rows.length,
    maxSupervised: rows.reduce((most, row) => Math.max(most, countSupervised(row)), 0),
    async *rows(epoch, from) {
      const indices = epochOrder(rows.length, order, epoch, lengthOf);
      for (let i = from; i < rows.length; i++) yield rows[indices[i]!]!;
    },
  };
}

/** Indices of a pass's rows, in its order. @param lengthOf a row, in tokens */
export function epochOrder(
  length: number,
  { seed, groupOf }: RowOrder,
  epoch: number,
  lengthOf: (row: number) => number,
): Uint32Array {
  if (seed === undefined) return Uint32Array.from({ length }, (_, i) => i);
  const order = new Random(seed, epoch + 1).permutation(length);
  return groupOf === undefined ? order : lengthGrouped(order, lengthOf, groupOf);
}

/** Tokens that are predicted: the first of an example is not, whatever its label. With targets: those. */
export function countSupervised({ labels, lengths = [labels.length], targets }: Encoded): number {
  if (targets !== undefined) return targets.length;
  let count = 0;
  let at = 0;
  for (const length of lengths) {
    for (let i = 1; i < length; i++) if (labels[at + i] !== IGNORED) count++;
    at += length;
  }
  return count;
}
