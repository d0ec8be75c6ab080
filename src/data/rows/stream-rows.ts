/** Rows that are made as they are needed. */
import type { DatasetStream, Row as DataRow } from "../datasets/rows.ts";
import { shuffled } from "../datasets/shuffle.ts";
import type { RowSource } from "../row-source.ts";
import { encodeInOrder, encoderHere } from "./encoder.ts";
import type { Coder } from "./example.ts";
import { packed, type Packer } from "./pack.ts";
import type { RowSettings } from "./settings.ts";
import { type StoredRow, toRow } from "./stored-row.ts";

/**
 * Rows of a stream, shuffled in a buffer, in an order of its own for each epoch. Going on from a row makes the rows before
 * it again and leaves them out: which samples become rows is not known otherwise.
 */
export function streamRows(
  stream: DatasetStream,
  coder: Coder,
  newPacker: () => Packer,
  settings: Pick<RowSettings, "shuffle" | "dataSeed" | "bufferSize" | "cutoffLen" | "stage">,
): RowSource {
  const { shuffle, dataSeed, bufferSize, cutoffLen, stage } = settings;
  return {
    // A bound: the rows are not known.
    maxSupervised: stage === "cls" ? 1 : cutoffLen,
    async *rows(epoch, from) {
      const samples = shuffle ? shuffled(stream, { bufferSize, seed: dataSeed, epoch }) : stream;
      let left = from;
      for await (const row of packedRows(samples, coder, newPacker())) if (left-- <= 0) yield toRow(row);
    },
  };
}

async function* packedRows(samples: AsyncIterable<DataRow>, coder: Coder, packer: Packer): AsyncGenerator<StoredRow> {
  for await (const outcome of encodeInOrder(samples, encoderHere(coder))) {
    if (outcome.kind === "bad" || "dropped" in outcome.result) continue;
    yield* packer.add(packed(outcome.result, outcome.sample.source));
  }
  yield* packer.end();
}
