/** `forward` of a classifier: arrays of token ids in, the logits of the classes and the loss out. */
import { ConfigError, listed } from "../errors.ts";
import type { TextModel } from "../models/text-model.ts";
import {
  checkForward,
  type ChooseAdapters,
  fillRows,
  FORWARD_OPTIONS,
  type ForwardInput,
  forwardInputs,
} from "./forward.ts";
import type { LanguageModel } from "./language-model.ts";
import { sequenceFeeds } from "./sequence.ts";
import { checkInput } from "./token-rows.ts";

export interface ClassifyInput extends Omit<ForwardInput, "labels"> {
  /** [B] Index of the class of each row. Default: no loss. */
  readonly labels?: ArrayLike<number>;
}

export interface ClassifyOutput {
  /** B · C, row by row. */
  readonly logits: Float32Array;
  readonly dims: readonly [batch: number, classes: number];
  /** Mean of −ln p(label) over the rows, in nats; present if labels were given. */
  readonly loss?: number;
}

/**
 * @param padTokenId token that rows are filled with, if it is known
 * @throws ConfigError naming everything about the arrays that does not fit
 */
export async function forwardClasses(
  language: LanguageModel,
  input: ClassifyInput,
  choose: ChooseAdapters,
  padTokenId: number | undefined,
): Promise<ClassifyOutput> {
  const { labels, ...tokens } = input;
  checkInput("forward", input, FORWARD_OPTIONS);
  const { model } = language;
  const batch = input.inputIds.length;
  const chosen = fillRows(choose(input.adapterNames, batch), batch);
  const virtual = language.virtualTokens(chosen);
  checkForward(tokens, model, virtual.count);
  if (labels !== undefined) checkLabels(labels, batch, model);
  const rows = forwardInputs(tokens, virtual, model);
  const at = Int32Array.from(input.inputIds, (ids, b) => {
    const place = classTokenAt(model, ids, { padTokenId, mask: input.attentionMask?.[b] });
    return b * rows.length + (virtual.tellsClass === true ? 0 : virtual.count + place);
  });
  const { data } = await language.logitsAt(sequenceFeeds(model, rows), at, chosen);
  // A copy: the engine writes the next result over this one.
  const logits = Float32Array.from(data as Float32Array);
  const dims = [batch, model.outputs] as const;
  return { logits, dims, ...(labels === undefined ? {} : { loss: meanLoss(logits, labels, model.outputs) }) };
}

/**
 * Index of the token whose hidden state tells the class of a row. Where that is the last one, it is the last that is not
 * the padding token, as in transformers, whatever the mask says; without a padding token the last one of the mask.
 * @param mask 1 where there is a token, 0 where there is padding. Default: 1 everywhere
 */
export function classTokenAt(
  { classToken }: Pick<TextModel, "classToken">,
  ids: ArrayLike<number>,
  {
    padTokenId,
    mask,
  }: { readonly padTokenId?: number | undefined; readonly mask?: ArrayLike<number> | undefined } = {},
): number {
  if (classToken === "first") return 0;
  for (let i = ids.length - 1; i >= 0; i--) {
    if (padTokenId === undefined ? mask === undefined || mask[i] !== 0 : ids[i] !== padTokenId) return i;
  }
  return 0;
}

function checkLabels(labels: ArrayLike<number>, batch: number, { outputs }: TextModel): void {
  const wrong: string[] = [];
  if (labels.length !== batch) wrong.push(`labels has ${labels.length} entries and inputIds ${batch} rows`);
  const bad = Array.from(labels).find((label) => !(Number.isInteger(label) && label >= 0 && label < outputs));
  if (bad !== undefined) wrong.push(`labels has ${String(bad)}, and there are ${outputs} classes, from 0`);
  if (wrong.length > 0) {
    throw new ConfigError({ where: "forward", what: listed(wrong), expected: "the index of a class for each row" });
  }
}

/** @param logits [B · C] */
function meanLoss(logits: Float32Array, labels: ArrayLike<number>, classes: number): number {
  let sum = 0;
  for (let b = 0; b < labels.length; b++) {
    const row = logits.subarray(b * classes, (b + 1) * classes);
    const largest = Math.max(...row);
    const exponentials = row.reduce((total, logit) => total + Math.exp(logit - largest), 0);
    sum += largest + Math.log(exponentials) - row[labels[b]!]!;
  }
  return sum / labels.length;
}
