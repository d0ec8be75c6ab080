/**
 * What merging costs a model that was trained on stored weights (quant/): its adapters learned to correct what the storage
 * made of the base. Merged into the values that the storage stands for (`dequantised`), the model is the trained one, up to
 * rounding; merged into the checkpoint's own weights (`original`), it has a better base under an adapter that was made for
 * another. Both are compared here with the model as it was trained.
 */
import {
  type CheckText,
  compareLogits,
  type Compared,
  logitsOf,
  summarize,
  type TextDifference,
} from "./merge-check.ts";

export const AGAINST = ["dequantised", "original"] as const;
export type Against = (typeof AGAINST)[number];

export interface StorageCost {
  readonly max_logit_difference: number;
  readonly mean_kl: number;
  readonly greedy_agreement: number;
  /** Mean loss of the texts' tokens, less that of the model as it was trained, in nats. Null: the model tells classes. */
  readonly loss_difference: number | null;
}

export interface StorageReport {
  readonly name: string;
  readonly double_quantization: boolean;
  readonly weights: number;
  /** What the adapters were merged into. */
  readonly against: Against;
  /** Absent: not asked for, or the checkpoint has no other weights. */
  readonly costs?: Readonly<Partial<Record<Against, StorageCost>>>;
}

/** Compares a model with the one that was trained. Each text is read once by both. */
export async function storageCost(
  trained: Compared,
  other: Compared,
  texts: readonly CheckText[],
): Promise<StorageCost> {
  const { outputs: width, task } = trained.language.model;
  const differences: TextDifference[] = [];
  let [loss, places] = [0, 0];
  for (const { ids, generated, classAt } of texts) {
    const expected = await logitsOf(trained, ids);
    const got = await logitsOf(other, ids);
    differences.push(compareLogits(expected, got, width, generated, classAt));
    if (task.kind !== "causal") continue;
    loss += sumOfLosses(got, ids, width) - sumOfLosses(expected, ids, width);
    places += ids.length - 1;
  }
  const { maxLogit, meanKl, agreed, greedy } = summarize(differences);
  return {
    max_logit_difference: maxLogit,
    mean_kl: meanKl,
    greedy_agreement: greedy === 0 ? 1 : agreed / greedy,
    loss_difference: task.kind === "causal" ? (places === 0 ? 0 : loss / places) : null,
  };
}

/** Σ −ln p(next token) over a text, in nats. @param logits [T · V] */
function sumOfLosses(logits: Float32Array, ids: readonly number[], width: number): number {
  let sum = 0;
  for (let t = 0; t + 1 < ids.length; t++) {
    const row = logits.subarray(t * width, (t + 1) * width);
    const largest = row.reduce((max, x) => Math.max(max, x), -Infinity);
    const total = row.reduce((all, x) => all + Math.exp(x - largest), 0);
    sum += largest + Math.log(total) - row[ids[t + 1]!]!;
  }
  return sum;
}
