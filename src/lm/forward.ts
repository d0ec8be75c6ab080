/** `forward`: arrays of token ids in, logits and loss out. */
import { ConfigError, listed } from "../errors.ts";
import { IGNORED } from "../data/sample.ts";
import type { CausalLm } from "../models/causal-lm.ts";
import type { LanguageModel } from "./language-model.ts";
import { supervisedFeeds, type SupervisedRows } from "./rows.ts";
import { sequenceFeeds } from "./sequence.ts";
import { checkInput, flat, type TokenRows } from "./token-rows.ts";

export interface ForwardInput {
  /** [B][T] Rows of one length: shorter ones are padded by the caller, and `attentionMask` says where. */
  readonly inputIds: TokenRows;
  /** [B][T] 1 where there is a token, 0 where there is padding. Default: 1 everywhere. */
  readonly attentionMask?: TokenRows;
  /** [B][T] Default: 0, 1, 2, … in every row, as in transformers. */
  readonly positionIds?: TokenRows;
  /** [B][T] Token to be predicted at each place, by the token before it; -100 where nothing is. Default: no loss. */
  readonly labels?: TokenRows;
  /** Name of the adapter of each row, `"__base__"` for none. Default: the active ones for all rows. */
  readonly adapterNames?: readonly string[];
}

const OPTIONS = {
  inputIds: true,
  attentionMask: true,
  positionIds: true,
  labels: true,
  adapterNames: true,
} as const satisfies Record<keyof ForwardInput, true>;

export interface ForwardOutput {
  /** B · T · V, row by row; where there is padding, as transformers computes it with its default attention. */
  readonly logits: Float32Array;
  readonly dims: readonly [batch: number, tokens: number, vocabulary: number];
  /** Mean of −ln p(label) over the labels that are not -100, in nats; present if labels were given. */
  readonly loss?: number;
}

/** Which adapters are on, given the names that a caller gave: for each row, or one entry for all. */
export type ChooseAdapters = (names: readonly string[] | undefined, rows: number) => readonly (readonly string[])[];

/** @throws ConfigError naming everything about the arrays that does not fit */
export async function forwardRows(
  language: LanguageModel,
  input: ForwardInput,
  choose: ChooseAdapters,
): Promise<ForwardOutput> {
  checkInput("forward", input, OPTIONS);
  checkForward(input, language.model);
  const { inputIds, attentionMask, positionIds, labels } = input;
  const [batch, length] = [inputIds.length, inputIds[0]!.length];
  const rows: SupervisedRows = {
    batch,
    length,
    tokens: Int32Array.from(flat(inputIds)),
    segments:
      attentionMask === undefined ? new Int32Array(batch * length).fill(1) : Int32Array.from(flat(attentionMask)),
    positions:
      positionIds === undefined
        ? Int32Array.from({ length: batch * length }, (_, i) => i % length)
        : Int32Array.from(flat(positionIds)),
    ...supervised(labels, length),
  };
  const chosen = fillRows(choose(input.adapterNames, batch), batch);
  const feeds = sequenceFeeds(language.model, rows);
  const { data } = await language.logits(feeds, chosen);
  const dims = [batch, length, language.model.vocabSize] as const;
  // A copy: the engine writes the next result over this one.
  const logits = Float32Array.from(data as Float32Array);
  if (labels === undefined) return { logits, dims };
  const count = rows.labels.length;
  const loss = count === 0 ? NaN : await language.loss({ ...feeds, ...supervisedFeeds(rows, 1, 1 / count) }, chosen, 1);
  return { logits, dims, loss };
}

/** One entry is for all rows. */
export function fillRows(chosen: readonly (readonly string[])[], batch: number): readonly (readonly string[])[] {
  if (chosen.length === batch) return chosen;
  return Array.from({ length: batch }, () => chosen[0] ?? []);
}

function supervised(labels: ForwardInput["labels"], length: number): { rows: Int32Array; labels: Int32Array } {
  const [rows, wanted]: [number[], number[]] = [[], []];
  labels?.forEach((line, b) =>
    Array.from(line).forEach((label, t) => {
      if (t === 0 || label === IGNORED) return;
      rows.push(b * length + t - 1);
      wanted.push(label);
    }),
  );
  return { rows: Int32Array.from(rows), labels: Int32Array.from(wanted) };
}

function checkForward(input: ForwardInput, { vocabSize, maxPositions, rope }: CausalLm): void {
  const { inputIds, positionIds, labels } = input;
  const wrong: string[] = [];
  const length = inputIds[0]?.length ?? 0;
  if (length === 0) wrong.push("inputIds has no tokens");
  for (const name of ["inputIds", "attentionMask", "positionIds", "labels"] as const) {
    const rows = input[name];
    if (rows === undefined) continue;
    if (rows.length !== inputIds.length) wrong.push(`${name} has ${rows.length} rows and inputIds ${inputIds.length}`);
    const odd = rows.findIndex((row) => row.length !== length);
    if (odd >= 0) wrong.push(`${name}[${odd}] has ${rows[odd]!.length} entries and inputIds[0] has ${length}`);
  }
  const isToken = (id: number) => Number.isInteger(id) && id >= 0 && id < vocabSize;
  const badId = flat(inputIds).find((id) => !isToken(id));
  if (badId !== undefined) wrong.push(`inputIds has ${badId}, and the vocabulary has ${vocabSize} tokens`);
  // Rotations go on for ever, and a table of positions ends.
  const last = rope === undefined ? Math.max(...(positionIds === undefined ? [length - 1] : flat(positionIds))) : 0;
  if (last >= maxPositions) wrong.push(`position ${last} is asked for, and the model has ${maxPositions}`);
  const badLabel = flat(labels ?? []).find((id) => id !== IGNORED && !isToken(id));
  if (badLabel !== undefined) wrong.push(`labels has ${badLabel}, neither a token nor ${IGNORED}`);
  if (wrong.length > 0) {
    throw new ConfigError({
      where: "forward",
      what: listed(wrong),
      hint: "rows are of one length: shorter ones are padded, with 0 in attentionMask where they are",
    });
  }
}
