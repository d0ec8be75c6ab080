/** Plain texts one after the other, in rows of one length (`stage: pt`, `packing: true`). */
import { IGNORED } from "../sample.ts";
import type { Encoded } from "../sample.ts";

/**
 * Rows of `cutoffLen` tokens, cut from the texts as if they were one; a row may hold several texts, each with its end
 * token, and sees all that is before in the row. The last row is shorter, where LLaMA-Factory leaves it out; one token,
 * from which nothing can be learnt, is left out here too. Reads no further ahead than a row needs.
 * @param texts token ids of one text each, as `encodeText` gives them
 */
export async function* groupTexts(
  texts: Iterable<Int32Array> | AsyncIterable<Int32Array>,
  cutoffLen: number,
): AsyncGenerator<Encoded, void, undefined> {
  let row = new Int32Array(cutoffLen);
  let length = 0;
  for await (const ids of texts) {
    for (let at = 0; at < ids.length;) {
      const piece = ids.subarray(at, at + cutoffLen - length);
      row.set(piece, length);
      length += piece.length;
      at += piece.length;
      if (length === cutoffLen) {
        yield rowOf(row);
        row = new Int32Array(cutoffLen);
        length = 0;
      }
    }
  }
  if (length > 1) yield rowOf(row.slice(0, length));
}

function rowOf(inputIds: Int32Array): Encoded {
  const labels = inputIds.slice();
  labels[0] = IGNORED;
  return { inputIds, labels };
}
