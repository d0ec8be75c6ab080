/**
 * Rows for a model that predicts masked tokens: of each text some tokens are to be predicted, other ones in every pass.
 *
 * Source: Devlin et al. 2019, arXiv 1810.04805, §3.1 and appendix A.1: 15 % of the tokens are chosen; of these 80 % are
 * replaced by the mask, 10 % by any token, and 10 % stay. Masks are drawn anew for each pass (Liu et al. 2019,
 * arXiv 1907.11692, §4.1). Each token is chosen by itself, as in transformers' collator, so that a short text may have none.
 */
import { ConfigError, listed } from "../../errors.ts";
import { Random } from "../../random.ts";
import { epochOrder, type Row, type RowOrder, type RowSource } from "../row-source.ts";
import { IGNORED, type Target } from "../sample.ts";

export interface MaskOptions {
  /** Of the token that stands in for a masked one. */
  readonly maskTokenId: number;
  /** Tokens that may stand in for one that is replaced: ids below this. */
  readonly vocabSize: number;
  /** Whether a token is never chosen, such as `[CLS]`: `tokenizer.isSpecial`. */
  readonly isSpecial: (id: number) => boolean;
  /** That a token is chosen. Default: 0.15. */
  readonly probability?: number;
  /** Of the masks. Default: 0. */
  readonly seed?: number;
  /** Default: the texts as they come. */
  readonly order?: RowOrder;
}

/** Of the chosen tokens: how many become the mask, and how many the mask or any token. */
const MASKED = 0.8;
const REPLACED = 0.9;

/**
 * Texts as rows. A row of a pass is the same whenever it is asked for, so that a run can be resumed.
 * @param texts token ids with the special tokens around them, as the model is to read
 * @throws ConfigError naming everything that is wrong with the options
 */
export function maskedRows(texts: readonly ArrayLike<number>[], options: MaskOptions): RowSource {
  const { maskTokenId, vocabSize, isSpecial, probability = 0.15, seed = 0, order = { seed: undefined } } = options;
  const wrong = [
    ...(Number.isInteger(maskTokenId) && maskTokenId >= 0 ? [] : [`maskTokenId is ${maskTokenId}, not a token`]),
    ...(Number.isInteger(vocabSize) && vocabSize > 0 ? [] : [`vocabSize is ${vocabSize}, not a number of tokens`]),
    ...(probability > 0 && probability <= 1 ? [] : [`probability is ${probability}, not in (0, 1]`]),
  ];
  if (wrong.length > 0) throw new ConfigError({ where: "maskedRows", what: listed(wrong) });
  const mayBeChosen = texts.map((text) => Array.from(text).filter((id) => !isSpecial(id)).length);
  return {
    length: texts.length,
    maxSupervised: mayBeChosen.reduce((a, b) => Math.max(a, b), 0),
    async *rows(epoch, from) {
      const indices = epochOrder(texts.length, order, epoch, (i) => texts[i]!.length);
      for (let i = from; i < texts.length; i++) {
        const text = indices[i]!;
        yield maskedRow(texts[text]!, { ...options, probability }, new Random(seed, epoch * texts.length + text + 1));
      }
    },
  };
}

function maskedRow(
  text: ArrayLike<number>,
  { maskTokenId, vocabSize, isSpecial, probability }: MaskOptions & { readonly probability: number },
  random: Random,
): Row {
  const inputIds = Int32Array.from(text);
  const targets: Target[] = [];
  inputIds.forEach((label, at) => {
    if (isSpecial(label) || random.uniform() >= probability) return;
    targets.push({ at, label });
    const kind = random.uniform();
    if (kind < MASKED) inputIds[at] = maskTokenId;
    else if (kind < REPLACED) inputIds[at] = Math.floor(random.uniform() * vocabSize);
  });
  return { inputIds, labels: new Int32Array(inputIds.length).fill(IGNORED), targets };
}
