/**
 * The pseudo-loss of an encoder: how badly it predicts each token of a text from all others. As forgetting, it is measured on
 * texts like those that the model was pretrained on.
 *
 * Source: Salazar et al. 2020, arXiv 1910.14659, eq. 1 and 3: PLL(W) = Σ_t log p(w_t | W with w_t masked), and the
 * pseudo-perplexity of N tokens is exp(−Σ PLL / N). The pseudo-loss is the exponent, −Σ PLL / N: a mean over all tokens of
 * all texts, so that a long text counts more than a short one. Special tokens are never masked, and not counted in N.
 */
import { ConfigError, DataError, listed } from "../errors.ts";
import type { LanguageModel, RowAdapters } from "./language-model.ts";
import { supervisedFeeds } from "./rows.ts";
import { sequenceFeeds } from "./sequence.ts";
import { forwardInputs } from "./forward.ts";

export interface PseudoLossOptions {
  /** Of the token that stands in for a masked one: `[MASK]`, `<mask>`. */
  readonly maskTokenId: number;
  /** Whether a token is never masked, such as `[CLS]`: `tokenizer.isSpecial`. */
  readonly isSpecial: (id: number) => boolean;
  /** Adapters that are on. Default: none. */
  readonly adapters?: readonly string[];
  /** Most masked copies of a text in a batch. Default: 16. */
  readonly batchSize?: number;
  readonly signal?: AbortSignal;
  /** Called after each text with the number of those that are done. */
  readonly onProgress?: (texts: number, total: number) => void;
}

export interface PseudoLoss {
  /** −Σ PLL / N, in nats for each token. */
  readonly loss: number;
  /** N, tokens that were masked, each once. */
  readonly tokens: number;
  /** PLL of each text, in nats: a sum over its tokens, at most 0. */
  readonly pll: readonly number[];
}

/**
 * @param texts token ids with the special tokens around them, as the model was trained to read
 * @throws ConfigError if the model predicts no masked tokens; DataError if a text is longer than the model reads, or there is
 *   nothing to mask
 */
export async function pseudoLoss(
  language: LanguageModel,
  texts: readonly ArrayLike<number>[],
  { maskTokenId, isSpecial, adapters = [], batchSize = 16, signal, onProgress }: PseudoLossOptions,
): Promise<PseudoLoss> {
  const { model } = language;
  if (model.task.kind !== "masked") {
    throw new ConfigError({
      where: "pseudoLoss",
      what: "needs a model that predicts masked tokens",
      got: `a model for ${model.task.kind}`,
      hint: "load an encoder with AutoModelForMaskedLM; for a decoder the loss itself is the measure",
    });
  }
  checkTexts(texts, language, adapters, maskTokenId);
  const pll: number[] = [];
  let tokens = 0;
  for (const [i, text] of texts.entries()) {
    const ids = Array.from(text);
    const places = ids.flatMap((id, place) => (isSpecial(id) ? [] : [place]));
    let sum = 0;
    for (let from = 0; from < places.length; from += batchSize) {
      signal?.throwIfAborted();
      sum -= await lossOfPlaces(language, ids, places.slice(from, from + batchSize), maskTokenId, adapters);
    }
    pll.push(sum);
    tokens += places.length;
    onProgress?.(i + 1, texts.length);
  }
  if (tokens === 0) throw new DataError({ where: "pseudoLoss", what: "there is no token to mask in any of the texts" });
  return { loss: -pll.reduce((a, b) => a + b, 0) / tokens, tokens, pll };
}

/** Sum of −ln p of the tokens at these places, each masked in a copy of its own. */
async function lossOfPlaces(
  language: LanguageModel,
  ids: readonly number[],
  places: readonly number[],
  maskTokenId: number,
  adapters: readonly string[],
): Promise<number> {
  const on: RowAdapters = places.map(() => adapters);
  const inputIds = places.map((place) => ids.toSpliced(place, 1, maskTokenId));
  const labels = places.map((place) => ids.map((id, at) => (at === place ? id : -100)));
  const rows = forwardInputs({ inputIds, labels }, language.virtualTokens(on), language.model);
  // A weight of 1: the sum, not the mean.
  return language.loss({ ...sequenceFeeds(language.model, rows), ...supervisedFeeds(rows, 1, 1) }, on, 1);
}

function checkTexts(
  texts: readonly ArrayLike<number>[],
  language: LanguageModel,
  adapters: readonly string[],
  maskTokenId: number,
): void {
  const { vocabSize } = language.model;
  const longest = language.positionsWith(adapters);
  const isToken = (id: number) => Number.isInteger(id) && id >= 0 && id < vocabSize;
  const wrong: string[] = [];
  if (!isToken(maskTokenId)) wrong.push(`maskTokenId is ${maskTokenId}, and the vocabulary has ${vocabSize} tokens`);
  texts.forEach((text, i) => {
    if (text.length > longest) wrong.push(`text ${i} has ${text.length} tokens, and the model reads ${longest}`);
    const bad = Array.from(text).find((id) => !isToken(id));
    if (bad !== undefined) wrong.push(`text ${i} has ${bad}, and the vocabulary has ${vocabSize} tokens`);
  });
  if (wrong.length > 0) throw new DataError({ where: "pseudoLoss", what: listed(wrong.slice(0, 10)) });
}
