/** Measures of what fine-tuning does to weights: pure functions of matrices and of their singular vectors. */
export {
  type AdapterOverlap,
  adapterOverlap,
  adapterOverlaps,
  alignment,
  type SideOverlap,
} from "./adapter-overlap.ts";
export { amplification, frobenius, projected, randomProjection } from "./amplification.ts";
export {
  type Forgetting,
  forgetting,
  type LossModel,
  lossTarget,
  targetLoss,
  type TextLoss,
  textLoss,
  type TextLossOptions,
  type TextRows,
  textRows,
} from "./forgetting.ts";
export { type ForgettingChange, forgettingChange, neighbour, scaled } from "./intervention.ts";
export {
  countIntruders,
  findIntruders,
  type Intruder,
  type Intruders,
  intrudersAmong,
  type IntruderSearch,
  leastMaxCos,
  nullLevel,
} from "./intruders.ts";
export { type LearnedSubspace, learnedSubspace } from "./learned-subspace.ts";
export {
  directionCount,
  effectiveRank,
  numericRank,
  type NumericRankOptions,
  roundingLevel,
  stableRank,
} from "./ranks.ts";
export { corner, cosines, type MaxCosines, maxCosines, pooled } from "./similarity.ts";
export { ranks, type Spearman, spearman } from "./spearman.ts";
export { projectionDistance, randomSimilarity, subspaceSimilarity } from "./subspace-similarity.ts";
export { type TaskSequence, taskSequence } from "./task-sequence.ts";
export { difference, type UpdateNorms, updateNorms } from "./update-norms.ts";
