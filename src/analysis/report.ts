/**
 * What `lowrank analyze` finds, as `report.json` has it: the only place where the names of that file are said. Everything that
 * a figure shows can be computed from it.
 *
 * σ are singular values in descending order; vectors are counted by their rank, from 1. W₀ is the base's matrix, W the tuned
 * one, ΔW = W − W₀.
 */

/** Singular vectors that are compared: left ones are in the space of outputs, right ones in that of inputs. */
export type Side = "left" | "right";

export interface AnalysisReport {
  readonly format: "lowrank-analysis";
  readonly version: 1;
  /** Null: an adapter alone was given. What needs W₀ is then null, 0 or empty. */
  readonly base: Origin | null;
  readonly tuned: Origin;
  readonly settings: AnalysisSettings;
  /** Sum over the matrices; null without a base. */
  readonly total_intruders: number | null;
  /** Sentences that a reader must see: width below 64, a tall matrix on its left side, nothing changed. */
  readonly warnings: readonly string[];
  readonly matrices: readonly MatrixReport[];
  /** What is not in `matrices`, by name, with the reason: matrices that did not change, vectors, tables, other shapes. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
  /** Of a series of checkpoints, in the order of their steps. */
  readonly checkpoints?: readonly CheckpointReport[];
}

export interface Origin {
  /** As it was given. */
  readonly name: string;
  readonly kind: "model" | "adapter" | "file";
  /** Of an adapter: its tuning method, and its rank and alpha where it has such. */
  readonly method?: string;
  readonly r?: number;
  readonly alpha?: number;
  /** SHA-256 of what was read, over all files. */
  readonly content_hash: string;
}

export interface AnalysisSettings {
  /** Tuned vectors that are looked at, the highest-ranking ones. Default: 10. */
  readonly k: number;
  /** A vector is an intruder if its largest |cosine| is below. Default: 0.5. */
  readonly epsilon: number;
  /** Default: "left", as in the authors' code. */
  readonly side: Side;
  /** Of the random subspaces. */
  readonly seed: number;
}

export interface MatrixReport {
  /** Of the parameter in the base. */
  readonly name: string;
  /** [out, in] */
  readonly shape: readonly [outputs: number, inputs: number];
  readonly k: number;
  readonly epsilon: number;
  readonly side: Side;
  readonly intruders: number;
  /** Ranks of the intruders, from 1. */
  readonly intruder_ranks: readonly number[];
  /** σ_j − σ_{j+1} of each: near-equal values rotate their vectors freely, and a small gap makes an intruder doubtful. */
  readonly intruder_gaps: readonly number[];
  /** max_i |cos(y_j, x_i)| of every tuned vector, by rank. Base vectors: all of the thin decomposition. */
  readonly max_cos: readonly number[];
  /** Rank of the base vector at which it is reached, from 1. */
  readonly nearest: readonly number[];
  /** The same for the other side. */
  readonly other_side: { readonly side: Side; readonly intruders: number; readonly max_cos: readonly number[] };
  /** Whether the base vectors span the whole space; else small cosines say little. */
  readonly spans: boolean;
  /** max |cos| that a random vector would have: √(2 ln m / m), m the length of a vector. */
  readonly null_max_cos: number;
  readonly sigma_base: readonly number[];
  readonly sigma_tuned: readonly number[];
  /** Only those above rounding. */
  readonly sigma_delta: readonly number[];
  readonly effective_rank_base: number;
  readonly effective_rank_tuned: number;
  readonly effective_rank_delta: number;
  /** ‖ΔW‖_F² / σ₁² */
  readonly stable_rank_delta: number;
  /** Number of σ above rounding. */
  readonly numeric_rank_delta: number;
  /** Frobenius norms. */
  readonly norm_base: number;
  readonly norm_delta: number;
  /** In min(r of the adapter or k, numeric rank) directions. Null without a base, or where ΔW is rounding alone. */
  readonly amplification: Amplification | null;
  /** |U₀ᵀ U|, rows: base vectors, columns: tuned ones; the ten first of each. */
  readonly similarity_top: readonly (readonly number[])[];
  /** The 32 first of each. */
  readonly similarity_corner?: readonly (readonly number[])[];
  /** The whole of it, the largest value of each cell of a grid of at most 64 × 64. */
  readonly similarity: readonly (readonly number[])[];
}

/** LoRA §7.3: how much ΔW amplifies directions that W₀ does not emphasise. */
export interface Amplification {
  /** Directions of ΔW that were taken. */
  readonly r: number;
  /** ‖ΔW‖_F / ‖Uᵀ W₀ V‖_F; null where the latter is 0. */
  readonly factor: number | null;
  /** ‖Uᵀ W₀ V‖_F with U, V of ΔW, of W₀, and of a random matrix. */
  readonly along_delta: number;
  readonly along_base: number;
  readonly along_random: number;
  /** ‖W₀‖_F r / √(out · in), what random subspaces give on average (root mean square). */
  readonly random_expected: number;
}

export interface CheckpointReport {
  readonly step: number;
  readonly path: string;
  readonly total_intruders: number;
  /** Mean over the matrices. */
  readonly effective_rank_delta: number;
  readonly matrices: readonly {
    readonly name: string;
    readonly intruders: readonly TrackedIntruder[];
  }[];
}

/** An intruder of a checkpoint. */
export interface TrackedIntruder {
  /** From 1. */
  readonly rank: number;
  readonly sigma: number;
  readonly max_cos: number;
  /** |cos| with the most similar vector of the last checkpoint's k; null in the first. */
  readonly same_as_before: number | null;
  /** Rank of that vector in the last checkpoint; null in the first. */
  readonly rank_before: number | null;
}
