/** `forward`: arrays of token ids in, logits and loss out. */
import { ConfigError, listed } from "../errors.ts";
import { IGNORED } from "../data/sample.ts";
import type { TextModel } from "../models/text-model.ts";
import { PLACEHOLDER, type VirtualTokens } from "./adapted-sequence.ts";
import type { LanguageModel } from "./language-model.ts";
import { supervisedFeeds, type SupervisedRows } from "./rows.ts";
import { sequenceFeeds } from "./sequence.ts";
import { checkInput, flat, type TokenRows } from "./token-rows.ts";

export interface ForwardInput {
  /** [B][T] Rows of one length: shorter ones are padded by the caller, and `attentionMask` says where. */
  readonly inputIds: TokenRows;
  /** [B][T] 1 where there is a token, 0 where there is padding. Default: 1 everywhere. */
  readonly attentionMask?: TokenRows;
  /**
   * [B][T] Virtual tokens come before them. Default, as in transformers: 0, 1, 2, … in every row; where the model has a
   * padding token that takes no position (RoBERTa), the others are counted from the number after that token's.
   */
  readonly positionIds?: TokenRows;
  /** [B][T] Kind of each token, for models that know several (BERT). Default: 0 everywhere. */
  readonly tokenTypeIds?: TokenRows;
  /**
   * [B][T] Token to be predicted at each place, -100 where nothing is: by the token before it, or, if the model predicts
   * masked tokens, by that at the place itself. Default: no loss.
   */
  readonly labels?: TokenRows;
  /** Name of the adapter of each row, `"__base__"` for none. Default: the active ones for all rows. */
  readonly adapterNames?: readonly string[];
}

export const FORWARD_OPTIONS = {
  inputIds: true,
  attentionMask: true,
  positionIds: true,
  tokenTypeIds: true,
  labels: true,
  adapterNames: true,
} as const satisfies Record<keyof ForwardInput, true>;

export interface ForwardOutput {
  /**
   * B · T · V, row by row; where there is padding, as transformers computes it with its default attention. As in PEFT, T
   * counts the virtual tokens of prompts too, which come first, but not those of prefixes.
   */
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
  checkInput("forward", input, FORWARD_OPTIONS);
  const batch = input.inputIds.length;
  const chosen = fillRows(choose(input.adapterNames, batch), batch);
  const virtual = language.virtualTokens(chosen);
  checkForward(input, language.model, virtual.count);
  const { labels } = input;
  const rows = forwardInputs(input, virtual, language.model);
  const { length } = rows;
  const feeds = sequenceFeeds(language.model, rows);
  const { data } = await language.logits(feeds, chosen);
  const { outputs } = language.model;
  // Places whose outputs mean nothing are left out.
  const skipped = virtual.predict ? 0 : virtual.count;
  const dims = [batch, length - skipped, outputs] as const;
  // A copy: the engine writes the next result over this one.
  const logits = new Float32Array(batch * (length - skipped) * outputs);
  for (let b = 0; b < batch; b++) {
    const [from, to] = [b * length + skipped, (b + 1) * length].map((place) => place * outputs);
    logits.set((data as Float32Array).subarray(from, to), b * (length - skipped) * outputs);
  }
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

/** The batch, with virtual tokens before every row, its padding included: they are always attended to, as in PEFT. */
export function forwardInputs(
  input: ForwardInput,
  { count: places, predict }: VirtualTokens,
  model: TextModel,
): SupervisedRows {
  const { inputIds, attentionMask, tokenTypeIds, labels } = input;
  const positionIds = positionsOf(input, model);
  const batch = inputIds.length;
  const length = places + inputIds[0]!.length;
  const laid = (value: (b: number, t: number) => number, before: (i: number) => number) =>
    Int32Array.from({ length: batch * length }, (_, at) => {
      const t = (at % length) - places;
      return t < 0 ? before(t + places) : value(Math.floor(at / length), t);
    });
  const [rows, wanted]: [number[], number[]] = [[], []];
  // How far before a token that is to be predicted the hidden state is that predicts it.
  const before = model.task.kind === "causal" ? 1 : 0;
  labels?.forEach((line, b) =>
    Array.from(line).forEach((label, t) => {
      if ((t < before && !predict) || label === IGNORED) return;
      rows.push(b * length + places + t - before);
      wanted.push(label);
    }),
  );
  return {
    batch,
    length,
    tokens: laid(
      (b, t) => inputIds[b]![t]!,
      () => PLACEHOLDER,
    ),
    segments: laid(
      (b, t) => attentionMask?.[b]?.[t] ?? 1,
      () => 1,
    ),
    positions: laid(
      (b, t) => (positionIds[b]![t]! < 0 ? positionIds[b]![t]! : places + positionIds[b]![t]!),
      (i) => i,
    ),
    ...(model.tokenTypes === undefined
      ? {}
      : {
          types: laid(
            (b, t) => tokenTypeIds?.[b]?.[t] ?? 0,
            () => 0,
          ),
        }),
    ...(places === 0
      ? {}
      : {
          virtual: laid(
            () => 0,
            (i) => i + 1,
          ),
        }),
    rows: Int32Array.from(rows),
    labels: Int32Array.from(wanted),
  };
}

/** [B][T] Positions from 0; -1 for a padding token that takes none. */
function positionsOf({ inputIds, positionIds }: ForwardInput, { paddingToken }: TextModel): TokenRows {
  // In transformers they are places in the table of positions, whose first ones the padding token takes.
  if (positionIds !== undefined) {
    return positionIds.map((row) => Array.from(row, (position) => position - (paddingToken ?? -1) - 1));
  }
  return inputIds.map((row) => {
    let position = 0;
    return Array.from(row, (id) => (id === paddingToken ? -1 : position++));
  });
}

/** @param places those of virtual tokens: they count as positions */
export function checkForward(input: ForwardInput, model: TextModel, places: number): void {
  const { vocabSize, maxPositions, rope, tokenTypes = 1 } = model;
  const { inputIds, positionIds, tokenTypeIds, labels } = input;
  const wrong: string[] = [];
  const length = inputIds[0]?.length ?? 0;
  if (length === 0) wrong.push("inputIds has no tokens");
  for (const name of ["inputIds", "attentionMask", "positionIds", "tokenTypeIds", "labels"] as const) {
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
  const positions = rope === undefined ? flat(positionsOf(input, model)) : [];
  const last = positions.reduce((a, b) => Math.max(a, b), 0);
  const first = positions.reduce((a, b) => Math.min(a, b), 0);
  if (first < (model.paddingToken === undefined ? 0 : -1)) {
    wrong.push(
      `positionIds has ${flat(positionIds!).reduce((a, b) => Math.min(a, b))}, which is before the first position`,
    );
  }
  if (last + places >= maxPositions) {
    const taken = places === 0 ? "" : `, ${places} of which are taken by virtual tokens`;
    wrong.push(`position ${last} is asked for, and the model has ${maxPositions}${taken}`);
  }
  const badType = flat(tokenTypeIds ?? []).find((type) => !(Number.isInteger(type) && type >= 0 && type < tokenTypes));
  if (badType !== undefined) wrong.push(`tokenTypeIds has ${badType}, and the model knows ${tokenTypes} of them`);
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
