/**
 * Forgetting as the loss on texts like those of pretraining: −ln p of each token after the first of a text, in nats, as the
 * mean over all tokens of all texts. Fine-tuning has cost L(tuned) − L(base) of it.
 *
 * "LoRA vs Full Fine-tuning" (Shuttleworth et al. 2024, arXiv 2410.21228) measures encoders by their masked pseudo-loss and
 * decoders by their language-modelling loss. This is the latter.
 */
import type { Adapter } from "../../adapters/adapter.ts";
import { countSupervised, memoryRows, type Row, type RowSource } from "../../data/row-source.ts";
import { encodeText } from "../../data/text/index.ts";
import type { Tokenizer } from "../../data/text/tokenizer.ts";
import { ConfigError, DataError } from "../../errors.ts";
import type { LanguageModel } from "../../lm/language-model.ts";
import { evaluateRows } from "../../train/evaluate-rows.ts";

/** Longest text by default: what a step of pretraining is likely to have seen. */
const DEFAULT_TOKENS = 512;

/** A model with the adapters that are on. */
export interface LossTarget {
  readonly language: LanguageModel;
  /** Default: none, the base. */
  readonly adapters?: readonly Adapter[];
}

/** What `CausalLMModel` is, and `PeftModel`. */
export type LossModel =
  | { readonly language: LanguageModel }
  | { readonly base: { readonly language: LanguageModel }; readonly activeAdapters: readonly string[] };

/** @param withAdapters false: as if none were on. Default: those that are */
export function lossTarget(model: LossModel, withAdapters = true): LossTarget {
  if ("language" in model) return { language: model.language };
  const { language } = model.base;
  // Merged adapters are in the weights already.
  const names = withAdapters && !language.isMerged ? model.activeAdapters : [];
  return { language, adapters: names.map((name) => language.adapter(name)) };
}

export interface TextLoss {
  /** Nats per token. */
  readonly loss: number;
  /** e^loss */
  readonly perplexity: number;
  /** Tokens that were predicted. */
  readonly tokens: number;
}

export interface TextRows extends RowSource {
  readonly length: number;
  /** Tokens that are predicted in all rows. */
  readonly tokens: number;
}

/**
 * Texts as rows, each with the tokens that pretraining puts around it.
 * @param maxTokens of a text; the rest is left out. Default: 512, or the positions that the model has
 * @throws DataError if there is nothing to predict
 */
export async function textRows(
  texts: readonly string[],
  tokenizer: Tokenizer,
  maxTokens = DEFAULT_TOKENS,
): Promise<TextRows> {
  const rows: Row[] = [];
  for (const [i, text] of texts.entries()) {
    const source = { dataset: "texts", file: "texts", line: i + 1 };
    const inputIds = (await encodeText({ kind: "text", text, source }, tokenizer)).slice(0, maxTokens);
    if (inputIds.length > 1) rows.push({ inputIds, labels: inputIds });
  }
  const tokens = rows.reduce((sum, row) => sum + countSupervised(row), 0);
  if (tokens === 0) {
    throw new DataError({ where: "texts", what: "have no token to predict", got: `${texts.length} texts` });
  }
  return { ...memoryRows(rows), length: rows.length, tokens };
}

export interface TextLossOptions {
  /** Of the model; needed for texts. */
  readonly tokenizer?: Tokenizer;
  /** Texts that are computed together. Default: 8. */
  readonly batchSize?: number;
  /** Of a text; the rest is left out. Default: 512, or the positions that the model has. */
  readonly maxTokens?: number;
  /** Adapters are off: the loss of the base. Default: as the model is. */
  readonly withoutAdapters?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Mean loss of texts under a model. Nothing of the model changes.
 * @param texts or rows made of them by {@link textRows}
 * @throws ConfigError if the model predicts no next tokens, or the tokenizer is missing; DataError if there is nothing to
 *   predict; the signal's reason
 */
export async function textLoss(
  model: LossModel,
  texts: readonly string[] | TextRows,
  { tokenizer, batchSize = 8, maxTokens, withoutAdapters = false, signal }: TextLossOptions = {},
): Promise<TextLoss> {
  return targetLoss(lossTarget(model, !withoutAdapters), await rows(), batchSize, tokenizer?.padId ?? 0, signal);

  async function rows(): Promise<TextRows> {
    if ("rows" in texts) return texts;
    if (tokenizer === undefined)
      throw new ConfigError({ where: "tokenizer", what: "texts need the model's tokenizer" });
    const language = "language" in model ? model.language : model.base.language;
    return textRows(texts, tokenizer, Math.min(maxTokens ?? DEFAULT_TOKENS, language.model.maxPositions));
  }
}

/** @throws as {@link textLoss} */
export async function targetLoss(
  { language, adapters = [] }: LossTarget,
  rows: TextRows,
  batchSize = 8,
  padId = 0,
  signal?: AbortSignal,
): Promise<TextLoss> {
  const { kind } = language.model.task;
  if (kind !== "causal") {
    throw new ConfigError({
      where: "forgetting",
      what: "the loss of texts is that of a model that predicts next tokens",
      got: `a model for ${kind}`,
      hint: "an encoder with a masked head has a pseudo-loss: `pseudoLoss`",
    });
  }
  const result = await evaluateRows({ language, adapters }, rows, batchSize, padId, signal);
  if (result === undefined) throw signal?.reason;
  return { loss: result.loss, perplexity: Math.exp(result.loss), tokens: rows.tokens };
}

export interface Forgetting {
  readonly base: TextLoss;
  readonly tuned: TextLoss;
  /** L(tuned) − L(base), nats per token: above 0 where something was forgotten. */
  readonly increase: number;
  /** (L(tuned) − L(base)) / L(base). */
  readonly relative: number;
}

/** What the active adapters cost on texts. @throws as {@link textLoss} */
export async function forgetting(
  model: LossModel,
  texts: readonly string[] | TextRows,
  options: Omit<TextLossOptions, "withoutAdapters"> = {},
): Promise<Forgetting> {
  const tuned = await textLoss(model, texts, options);
  const base = await textLoss(model, texts, { ...options, withoutAdapters: true });
  return compared(base, tuned);
}

export function compared(base: TextLoss, tuned: TextLoss): Forgetting {
  const increase = tuned.loss - base.loss;
  return { base, tuned, increase, relative: increase / base.loss };
}
