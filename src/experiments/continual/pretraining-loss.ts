/** The loss of a backbone on texts like those of its pretraining: what tuning adds to it was forgotten. */
import { targetLoss, textRows, type TextRows } from "../../analysis/measures/forgetting.ts";
import { classTokens } from "../../data/text/encode-class.ts";
import { ConfigError } from "../../errors.ts";
import { pseudoLoss } from "../../lm/pseudo-loss.ts";
import type { Backbone } from "../rig/backbone.ts";

/** Rows that are computed at a time. */
const BATCH = 32;

type Sample = TextRows | { readonly texts: readonly Int32Array[]; readonly maskTokenId: number };

export class PretrainingLoss {
  readonly #backbone: Backbone;
  readonly #sample: Sample;

  private constructor(backbone: Backbone, sample: Sample) {
    this.#backbone = backbone;
    this.#sample = sample;
  }

  /**
   * @param maxLength tokens of a text at most. Default: the model's positions
   * @throws ConfigError if an encoder's tokenizer has no token that masks; DataError if there is nothing to predict
   */
  static async create(backbone: Backbone, texts: readonly string[], maxLength = Infinity): Promise<PretrainingLoss> {
    const length = Math.min(maxLength, backbone.pretrained.model.maxPositions);
    return new PretrainingLoss(backbone, await sampleOf(backbone, texts, length));
  }

  /**
   * Mean over all tokens in nats, with the weights as they are now: of the next token, or of an encoder the pseudo-loss, each
   * token masked once.
   * @throws the signal's reason
   */
  async measure(signal?: AbortSignal): Promise<number> {
    const { pretrained, tokenizer } = this.#backbone;
    // What was compiled holds the weights of then.
    await pretrained.changed();
    if ("rows" in this.#sample) {
      return (await targetLoss({ language: pretrained }, this.#sample, BATCH, tokenizer.padId, signal)).loss;
    }
    const { loss } = await pseudoLoss(pretrained, this.#sample.texts, {
      maskTokenId: this.#sample.maskTokenId,
      isSpecial: (id) => tokenizer.isSpecial(id),
      batchSize: BATCH,
      ...(signal === undefined ? {} : { signal }),
    });
    return loss;
  }
}

async function sampleOf(
  { pretrained, tokenizer }: Backbone,
  texts: readonly string[],
  length: number,
): Promise<Sample> {
  if (pretrained.model.task.kind === "causal") return textRows(texts, tokenizer, length);
  const { mask_token: mask } = tokenizer.specialTokens;
  const maskTokenId = mask === undefined ? undefined : tokenizer.idOf(mask);
  if (maskTokenId === undefined) {
    throw new ConfigError({ where: tokenizer.dir, what: "the tokenizer has no token that masks" });
  }
  const rows: Int32Array[] = [];
  for (const text of texts) rows.push((await classTokens({ text }, tokenizer, length)).inputIds);
  return { texts: rows, maskTokenId };
}
