/**
 * Examples to rows. Packed rows hold several examples, each of which attends to itself only and has positions of its own,
 * so that the loss of a token is what it is in a row of its own.
 */
import type { Source } from "../sample.ts";
import type { Example } from "./example.ts";
import type { StoredRow } from "./stored-row.ts";

export interface Packed extends Pick<Example, "inputIds" | "trained" | "label" | "types"> {
  readonly source: Source;
}

export interface Packer {
  /** The rows that are finished with this example, often none. */
  add(example: Packed): readonly StoredRow[];
  /** What is left. */
  end(): readonly StoredRow[];
}

/** A row for each example. */
export function single(): Packer {
  return {
    add: ({ source, ...example }) => [{ ...example, sources: [source] }],
    end: () => [],
  };
}

/** Examples that are packed together, as in LLaMA-Factory (`preprocessing_batch_size`): memory is bounded by it. */
const WINDOW = 1000;

/** What of an example goes into a row. */
export function packed({ inputIds, trained, label, types }: Example, source: Source): Packed {
  return {
    inputIds,
    trained,
    source,
    ...(label === undefined ? {} : { label }),
    ...(types === undefined ? {} : { types }),
  };
}

/** Whole examples, in as few rows as a greedy choice finds: `packing` of `stage: sft`. */
export function knapsack(cutoffLen: number): Packer {
  let waiting: Packed[] = [];
  const pack = (): StoredRow[] => {
    const all = waiting;
    waiting = [];
    const lengths = all.map(({ inputIds }) => inputIds.length);
    return greedyKnapsack(lengths, cutoffLen).map((chosen) => joined(chosen.map((i) => all[i]!)));
  };
  return {
    add(example) {
      waiting.push(example);
      return waiting.length < WINDOW ? [] : pack();
    },
    end: pack,
  };
}

/**
 * Indices by row: each row takes the longest that still fits, again and again; of equally long ones the last. The same
 * choice as LLaMA-Factory's `greedy_knapsack`.
 */
export function greedyKnapsack(lengths: readonly number[], capacity: number): number[][] {
  const ascending = lengths.map((_, i) => i).toSorted((a, b) => lengths[a]! - lengths[b]! || a - b);
  const rows: number[][] = [];
  while (ascending.length > 0) {
    const row: number[] = [];
    for (let room = capacity; ;) {
      const at = ascending.findLastIndex((i) => lengths[i]! <= room);
      if (at < 0) break;
      const [index] = ascending.splice(at, 1);
      row.push(index!);
      room -= lengths[index!]!;
    }
    if (row.length === 0) throw new RangeError(`an example is longer than ${capacity}`);
    rows.push(row);
  }
  return rows;
}

/**
 * Texts one after the other in full rows, cut where a row ends: `packing` of `stage: pt`. What is cut off goes on in the
 * next row as if it began there. The last row is shorter.
 */
export function blocks(cutoffLen: number): Packer {
  let pieces: Packed[] = [];
  let length = 0;
  const row = (): StoredRow[] => {
    const all = pieces;
    [pieces, length] = [[], 0];
    // Single tokens teach nothing.
    return all.some(({ trained }) => trained.length > 0) ? [joined(all)] : [];
  };
  return {
    add({ inputIds, source }) {
      const rows: StoredRow[] = [];
      for (let at = 0; at < inputIds.length;) {
        const piece = inputIds.slice(at, at + cutoffLen - length);
        const trained = Int32Array.from(piece.length > 1 ? [1, piece.length] : []);
        pieces.push({ inputIds: piece, trained, source });
        length += piece.length;
        at += piece.length;
        if (length === cutoffLen) rows.push(...row());
      }
      return rows;
    },
    end: row,
  };
}

function joined(examples: readonly Packed[]): StoredRow {
  const lengths = examples.map(({ inputIds }) => inputIds.length);
  const inputIds = new Int32Array(lengths.reduce((sum, length) => sum + length, 0));
  const trained: number[] = [];
  let at = 0;
  for (const example of examples) {
    inputIds.set(example.inputIds, at);
    for (const index of example.trained) trained.push(at + index);
    at += example.inputIds.length;
  }
  return { inputIds, trained: Int32Array.from(trained), lengths, sources: examples.map(({ source }) => source) };
}
