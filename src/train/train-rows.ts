/** The rows that a caller gives to a trainer: checked, so that no wrong token is found out by a kernel, or by nobody. */
import { memoryRows, type Row, type RowOrder, type RowSource } from "../data/row-source.ts";
import { IGNORED } from "../data/sample.ts";
import { ConfigError, listed } from "../errors.ts";
import type { TextModel } from "../models/text-model.ts";

/** A row as a caller has it. */
export interface TrainRow {
  readonly inputIds: ArrayLike<number>;
  /** -100 where nothing is to be learnt. Default: `inputIds`. */
  readonly labels?: ArrayLike<number>;
  /** 0 where a row has padding, on either side: it is left out. Default: none. */
  readonly attentionMask?: ArrayLike<number>;
}

/** Wrong rows that a message names. */
const LISTED = 5;

/**
 * @param places of each row that virtual tokens take
 * @throws ConfigError naming the first rows whose tokens or labels are none of the model's, and what is wrong with each
 */
export function rowsOf(
  where: string,
  rows: readonly TrainRow[] | RowSource,
  model: TextModel,
  order: RowOrder,
  places = 0,
): RowSource {
  const given: unknown = rows;
  if (!Array.isArray(rows) && (typeof given !== "object" || given === null || !("rows" in given))) {
    throw new ConfigError({ where, what: "is not an array of rows, nor a data set", got: typeof given });
  }
  if ("rows" in rows) return rows;
  const wrong: string[] = [];
  const encoded = rows.map((row, i) => {
    const problem = wrongWith(row, model, places);
    if (problem === undefined) return encode(row);
    wrong.push(`row ${i}: ${problem}`);
    return undefined;
  });
  if (wrong.length === 0)
    return memoryRows(
      encoded.filter((row) => row !== undefined),
      order,
    );
  const more = wrong.length > LISTED ? [`and ${wrong.length - LISTED} rows more`] : [];
  throw new ConfigError({
    where,
    what: listed([...wrong.slice(0, LISTED), ...more]),
    expected: "{ inputIds, labels } with token ids of the model, and -100 in labels where nothing is to be learnt",
  });
}

function encode({ inputIds, labels = inputIds, attentionMask, ...rest }: TrainRow): Row {
  const kept = (values: ArrayLike<number>) =>
    Int32Array.from(Array.from(values).filter((_, i) => attentionMask === undefined || attentionMask[i] !== 0));
  return { ...rest, inputIds: kept(inputIds), labels: kept(labels) };
}

function wrongWith(row: TrainRow, { vocabSize, maxPositions, rope }: TextModel, places: number): string | undefined {
  const { inputIds, labels, attentionMask } = row;
  if (!isRow(inputIds)) {
    const names = Object.keys(row);
    return `inputIds is ${inputIds === undefined ? "missing" : "not an array of token ids"} (it has ${names.join(", ")})`;
  }
  const { length } = inputIds;
  if (length === 0) return "has no tokens";
  for (const [name, values] of Object.entries({ labels, attentionMask })) {
    if (values === undefined) continue;
    if (!isRow(values)) return `${name} is not an array of numbers`;
    if (values.length !== length) return `${name} has ${values.length} entries and inputIds ${length}`;
  }
  const isToken = (id: number) => Number.isInteger(id) && id >= 0 && id < vocabSize;
  const badId = Array.from(inputIds).find((id) => !isToken(id));
  if (badId !== undefined) return `inputIds has ${String(badId)}, and the vocabulary has ${vocabSize} tokens`;
  const badLabel = Array.from(labels ?? []).find((id) => id !== IGNORED && !isToken(id));
  if (badLabel !== undefined) return `labels has ${String(badLabel)}, neither a token nor ${IGNORED}`;
  // Rotations go on for ever, and a table of positions ends.
  const tokens = attentionMask === undefined ? length : Array.from(attentionMask).filter((seen) => seen !== 0).length;
  if (rope === undefined && tokens + places > maxPositions) {
    const taken = places === 0 ? "" : `, ${places} of which are taken by virtual tokens`;
    return `has ${tokens} tokens, and the model ${maxPositions} positions${taken}`;
  }
  return undefined;
}

function isRow(values: unknown): values is ArrayLike<number> {
  return Array.isArray(values) || ArrayBuffer.isView(values);
}
