/** `repair.json`: which intruders were scaled, and what is left of them. */
import type { AnalysisSettings, Origin } from "./report.ts";

export interface RepairReport {
  readonly format: "lowrank-repair";
  readonly version: 1;
  readonly base: Origin;
  readonly tuned: Origin;
  /** 1 changes nothing, 0 takes the intruders away. */
  readonly lambda: number;
  readonly settings: AnalysisSettings;
  /** Only the highest-ranking intruder of each matrix was scaled. */
  readonly top_only: boolean;
  /** Sums over the matrices. */
  readonly intruders_before: number;
  readonly intruders_after: number;
  readonly matrices: readonly RepairedMatrix[];
  readonly warnings: readonly string[];
}

export interface RepairedMatrix {
  /** Of the parameter in the base. */
  readonly name: string;
  /** [out, in] */
  readonly shape: readonly [outputs: number, inputs: number];
  readonly intruders_before: number;
  /** Ranks of those that were scaled, from 1. */
  readonly scaled_ranks: readonly number[];
  /** Of what was written, with its rank. */
  readonly intruders_after: number;
  /** Of the adapter on this matrix; null where it is no product of thin factors. */
  readonly rank_before: number | null;
  readonly rank: number;
  /** ‖what the rank cuts off ΔW(λ)‖_F / ‖ΔW(λ)‖_F. */
  readonly truncation_error: number;
}
