/** Rows as they are kept, in memory and in files: half the size of what a model is trained with. */
import { epochOrder, type Row, type RowOrder, type RowSource } from "../row-source.ts";
import { IGNORED, type Source } from "../sample.ts";

export interface StoredRow {
  readonly inputIds: Int32Array;
  /** First and past-the-last indices of the runs of tokens that are trained on, one pair after the other. */
  readonly trained: Int32Array;
  /** Of the examples in a packed row. */
  readonly lengths?: readonly number[];
  /** The class of the row; `trained` is then the one token that tells it. */
  readonly label?: number;
  /** As in `Encoded`. */
  readonly types?: Int32Array;
  readonly sources: readonly Source[];
}

/** The runs of labels that are not {@link IGNORED}, as in {@link StoredRow}. */
export function trainedRuns(labels: Int32Array): Int32Array {
  const runs: number[] = [];
  for (let i = 0; i < labels.length; i++) {
    const isTrained = labels[i] !== IGNORED;
    if (isTrained !== (runs.length % 2 === 1)) runs.push(i);
  }
  if (runs.length % 2 === 1) runs.push(labels.length);
  return Int32Array.from(runs);
}

/** Tokens in the runs. */
export function countRuns(trained: Int32Array): number {
  return trained.reduce((count, at, i) => count + (i % 2 === 0 ? -at : at), 0);
}

export function toRow({ inputIds, trained, lengths, label, types, sources }: StoredRow): Row {
  const labels = new Int32Array(inputIds.length).fill(IGNORED);
  if (label !== undefined) {
    return {
      inputIds,
      labels,
      targets: [{ at: trained[0]!, label }],
      sources,
      ...(types === undefined ? {} : { types }),
    };
  }
  for (let i = 0; i < trained.length; i += 2) {
    labels.set(inputIds.subarray(trained[i], trained[i + 1]), trained[i]);
  }
  return { inputIds, labels, sources, ...(lengths === undefined ? {} : { lengths }) };
}

/** Rows in memory. */
export function storedRows(rows: readonly StoredRow[], order: RowOrder): RowSource {
  const lengthOf = (row: number) => rows[row]!.inputIds.length;
  return {
    length: rows.length,
    maxSupervised: rows.reduce((most, { trained }) => Math.max(most, countRuns(trained)), 0),
    async *rows(epoch, from) {
      const indices = epochOrder(rows.length, order, epoch, lengthOf);
      for (let i = from; i < rows.length; i++) yield toRow(rows[indices[i]!]!);
    },
  };
}
