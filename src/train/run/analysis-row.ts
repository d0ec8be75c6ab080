/** What a look at the weights says, as a row of the log: `analysis_*`. docs/analysis.md explains the numbers. */
import type { LogRow } from "./log-rows.ts";

/** Names in a row follow in brackets. */
export interface AnalysisFindings {
  /** Matrices that were looked at [analysis_matrices]. */
  readonly matrices: number;
  /** Intruder dimensions, all together [analysis_intruders]. */
  readonly intruders: number;
  /** Mean over the matrices of the effective rank of ΔW [analysis_effective_rank]. */
  readonly effectiveRank: number;
  /** Mean similarity φ of ΔW's first directions with the base's [analysis_overlap]. */
  readonly overlap: number;
  /** The same of random directions, on average [analysis_overlap_random]. */
  readonly overlapRandom: number;
  /** Loss of texts like those of pretraining, in nats per token [analysis_loss]; of the base [analysis_base_loss]. */
  readonly loss?: number;
  readonly baseLoss?: number;
  /** Whether forgetting threatens [analysis_threat: 1 or 0]. */
  readonly threatens: boolean;
}

export function analysisMetrics(found: AnalysisFindings): Record<string, number> {
  const { loss, baseLoss } = found;
  return {
    analysis_intruders: found.intruders,
    analysis_matrices: found.matrices,
    analysis_effective_rank: found.effectiveRank,
    analysis_overlap: found.overlap,
    analysis_overlap_random: found.overlapRandom,
    ...(loss === undefined ? {} : { analysis_loss: loss }),
    ...(loss === undefined || baseLoss === undefined
      ? {}
      : { analysis_base_loss: baseLoss, analysis_forgetting: loss / baseLoss - 1 }),
    analysis_threat: Number(found.threatens),
  };
}

/** `12 intruders, and the loss on texts like those of pretraining has grown by 4.2%` */
export function forgettingText(metrics: Readonly<Record<string, number>>): string {
  const [intruders = NaN, share = NaN] = [metrics["analysis_intruders"], metrics["analysis_forgetting"]];
  const count = `${intruders} ${intruders === 1 ? "intruder" : "intruders"}`;
  return `${count}, and the loss on texts like those of pretraining has grown by ${(100 * share).toFixed(1)}%`;
}

/** `12 intruders in 28 matrices, effective rank 3.42, overlap 0.11 (random 0.08), pretraining loss 2.91 (+4.2%)` */
export function analysisText(row: LogRow): string {
  const value = (name: string) => row[`analysis_${name}`] ?? NaN;
  const [intruders, matrices, loss, forgetting] = ["intruders", "matrices", "loss", "forgetting"].map(value);
  const change = Number.isNaN(forgetting) ? "" : ` (${forgetting! < 0 ? "" : "+"}${(100 * forgetting!).toFixed(1)}%)`;
  return [
    `${intruders} ${intruders === 1 ? "intruder" : "intruders"} in ${matrices} ${matrices === 1 ? "matrix" : "matrices"}`,
    `effective rank ${value("effective_rank").toPrecision(3)}`,
    `overlap ${value("overlap").toFixed(2)} (random ${value("overlap_random").toFixed(2)})`,
    ...(Number.isNaN(loss) ? [] : [`pretraining loss ${loss!.toPrecision(4)}${change}`]),
  ].join(", ");
}
