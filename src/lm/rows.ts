/** Encoded examples as the rows of a batch: padded to one length, with what is to be predicted after each token. */
import { type Encoded, IGNORED } from "../data/sample.ts";
import { NO_VIRTUAL, PLACEHOLDER, type VirtualTokens } from "./adapted-sequence.ts";
import type { Feeds } from "../runtime/runtime.ts";
import { LABELS, LOSS_WEIGHT, ROWS } from "./head-loss.ts";
import type { Rows } from "./sequence.ts";

/** A batch to train on. */
export interface SupervisedRows extends Rows {
  /** Indices into [B · T] of the tokens after which something is to be predicted, and what that is. */
  readonly rows: Int32Array;
  readonly labels: Int32Array;
}

/**
 * Pads on the right. A target belongs to its token. A label belongs to the token before it: the first token of an example is never predicted, and in a
 * packed row neither is the first of the next one.
 * @param padId token that fills the rest of shorter rows; nothing attends to it
 * @param virtual places before the first token of each example. If the last of them predicts, so is the first token
 */
export function supervisedRows(
  examples: readonly Encoded[],
  padId: number,
  { count: places, predict, tellsClass }: VirtualTokens = NO_VIRTUAL,
): SupervisedRows {
  const batch = examples.length;
  const length = Math.max(
    ...examples.map(({ inputIds, lengths }) => inputIds.length + places * (lengths?.length ?? 1)),
  );
  const tokens = new Int32Array(batch * length).fill(padId);
  const segments = new Int32Array(batch * length);
  const positions = new Int32Array(batch * length);
  const virtual = new Int32Array(batch * length);
  const rows: number[] = [];
  const labels: number[] = [];
  const types = new Int32Array(batch * length);
  examples.forEach(({ inputIds, labels: wanted, lengths = [inputIds.length], targets, types: kinds }, b) => {
    let [at, place] = [0, b * length];
    const labelAt = new Map(targets?.map((target) => [target.at, target.label]));
    lengths.forEach((count, segment) => {
      for (let i = 0; i < places + count; i++, place++) {
        segments[place] = segment + 1;
        positions[place] = i;
        if (i < places) {
          tokens[place] = PLACEHOLDER;
          virtual[place] = i + 1;
          continue;
        }
        tokens[place] = inputIds[at]!;
        types[place] = kinds?.[at] ?? 0;
        if (targets !== undefined) {
          const said = labelAt.get(at++);
          if (said === undefined) continue;
          rows.push(tellsClass === true && i === places ? place - places : place);
          labels.push(said);
          continue;
        }
        const label = wanted[at++]!;
        if (label === IGNORED || (i === places && !predict)) continue;
        rows.push(place - 1);
        labels.push(label);
      }
    });
  });
  return {
    batch,
    length,
    tokens,
    segments,
    positions,
    types,
    ...(places === 0 ? {} : { virtual }),
    rows: Int32Array.from(rows),
    labels: Int32Array.from(labels),
  };
}

/**
 * The feeds of a head in chunks: rows that are left over in the last chunks are ignored.
 * @param weight of the loss of each row
 */
export function supervisedFeeds({ rows, labels }: SupervisedRows, chunks: number, weight: number): Feeds {
  const size = Math.max(1, Math.ceil(rows.length / chunks));
  const paddedRows = new Int32Array(chunks * size);
  const paddedLabels = new Int32Array(chunks * size).fill(IGNORED);
  paddedRows.set(rows);
  paddedLabels.set(labels);
  return {
    [ROWS]: { dtype: "int32", shape: [chunks, size], data: paddedRows },
    [LABELS]: { dtype: "int32", shape: [chunks, size], data: paddedLabels },
    [LOSS_WEIGHT]: { dtype: "float32", shape: [], data: Float32Array.of(weight) },
  };
}
