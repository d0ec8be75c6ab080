/** In how many chunks the vocabulary head is computed. */

/** Bytes that the logits of a chunk may take; the loss and its derivative need about three times as much. */
const CHUNK_BYTES = 80e6;

/** @param rows supervised tokens of a micro-batch, at most */
export function headChunks(rows: number, outputs: number): number {
  return Math.max(1, Math.ceil((rows * outputs * 4) / CHUNK_BYTES));
}
