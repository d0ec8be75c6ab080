/** The rows that a caller gives to a trainer: checked, so that no wrong token is found out by a kernel, or by nobody. */
import { memoryRows, type Row, type RowOrder, type RowSource } from "../data/row-source.ts";
import { IGNORED, type Target } from "../data/sample.ts";
import { classTarget } from "../data/text/encode-class.ts";
import { ConfigError, listed } from "../errors.ts";
import type { TextModel } from "../models/text-model.ts";

/** A row as a caller has it. */
export interface TrainRow {
  readonly inputIds: ArrayLike<number>;
  /** -100 where nothing is to be learnt. Default: `inputIds`; with `label` or `targets`: those. */
  readonly labels?: ArrayLike<number>;
  /** Index of the class of the row, for a model that tells classes: by the token that it tells them by. */
  readonly label?: number;
  /** What is to be said of single tokens, by their own hidden states, in place of `labels`. */
  readonly targets?: readonly Target[];
  /** Kind of each token, for models that know several: transformers' `token_type_ids`. Default: 0. */
  readonly types?: ArrayLike<number>;
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
    if (problem === undefined) return encode(row, model);
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
    expected:
      model.task.kind === "classification"
        ? `{ inputIds, label } with token ids of the model, and a class from 0 to ${model.outputs - 1}`
        : "{ inputIds, labels } with token ids of the model, and -100 in labels where nothing is to be learnt",
  });
}

function encode(row: TrainRow, { classToken = "last" }: TextModel): Row {
  const { inputIds, labels = inputIds, attentionMask, label, targets, types, ...rest } = row;
  const isKept = (i: number) => attentionMask === undefined || attentionMask[i] !== 0;
  const kept = (values: ArrayLike<number>) => Int32Array.from(Array.from(values).filter((_, i) => isKept(i)));
  const ids = kept(inputIds);
  /** Place of a token among those that are kept. */
  const placeOf = (at: number) => at - Array.from({ length: at }, (_, i) => i).filter((i) => !isKept(i)).length;
  const wanted =
    label === undefined
      ? targets?.map((target) => ({ at: placeOf(target.at), label: target.label }))
      : [classTarget(ids, classToken, label)];
  return {
    ...rest,
    inputIds: ids,
    labels: kept(labels),
    ...(wanted === undefined ? {} : { targets: wanted }),
    ...(types === undefined ? {} : { types: kept(types) }),
  };
}

function wrongWith(row: TrainRow, model: TextModel, places: number): string | undefined {
  const { vocabSize, maxPositions, rope } = model;
  const { inputIds, labels, attentionMask, types } = row;
  if (!isRow(inputIds)) {
    const names = Object.keys(row);
    return `inputIds is ${inputIds === undefined ? "missing" : "not an array of token ids"} (it has ${names.join(", ")})`;
  }
  const { length } = inputIds;
  if (length === 0) return "has no tokens";
  for (const [name, values] of Object.entries({ labels, attentionMask, types })) {
    if (values === undefined) continue;
    if (!isRow(values)) return `${name} is not an array of numbers`;
    if (values.length !== length) return `${name} has ${values.length} entries and inputIds ${length}`;
  }
  const isToken = (id: number) => Number.isInteger(id) && id >= 0 && id < vocabSize;
  const badId = Array.from(inputIds).find((id) => !isToken(id));
  if (badId !== undefined) return `inputIds has ${String(badId)}, and the vocabulary has ${vocabSize} tokens`;
  const badLabel = Array.from(labels ?? []).find((id) => id !== IGNORED && !isToken(id));
  if (badLabel !== undefined) return `labels has ${String(badLabel)}, neither a token nor ${IGNORED}`;
  const badTarget = wrongTarget(row, model);
  if (badTarget !== undefined) return badTarget;
  const { tokenTypes = Infinity } = model;
  const badType = Array.from(types ?? []).find((type) => !Number.isInteger(type) || type < 0 || type >= tokenTypes);
  if (badType !== undefined) return `types has ${String(badType)}, and the model knows kinds 0 to ${tokenTypes - 1}`;
  // Rotations go on for ever, and a table of positions ends.
  const tokens = attentionMask === undefined ? length : Array.from(attentionMask).filter((seen) => seen !== 0).length;
  if (rope === undefined && tokens + places > maxPositions) {
    const taken = places === 0 ? "" : `, ${places} of which are taken by virtual tokens`;
    return `has ${tokens} tokens, and the model ${maxPositions} positions${taken}`;
  }
  return undefined;
}

/** What is wrong with the class of a row, or with what is to be said of its tokens. */
function wrongTarget(row: TrainRow, { task, outputs }: TextModel): string | undefined {
  const { inputIds, label, targets, attentionMask } = row;
  const isClass = (value: unknown) => Number.isInteger(value) && (value as number) >= 0 && (value as number) < outputs;
  if (label !== undefined) {
    if (task.kind !== "classification")
      return "label is a class, and the model tells none (labels is what it is trained on)";
    if (targets !== undefined) return "label and targets are both there";
    return isClass(label) ? undefined : `label is ${String(label)}, and the classes are 0 to ${outputs - 1}`;
  }
  if (targets === undefined) {
    return task.kind === "causal" ? undefined : `has no ${task.kind === "classification" ? "label" : "targets"}`;
  }
  const bad = targets.find(
    ({ at }) => !Number.isInteger(at) || at < 0 || at >= inputIds.length || attentionMask?.[at] === 0,
  );
  if (bad !== undefined) return `targets has one at ${String(bad.at)}, where there is no token`;
  const wrong = targets.find((target) => !isClass(target.label));
  return wrong === undefined ? undefined : `targets has ${String(wrong.label)}, and the labels are 0 to ${outputs - 1}`;
}

function isRow(values: unknown): values is ArrayLike<number> {
  return Array.isArray(values) || ArrayBuffer.isView(values);
}
