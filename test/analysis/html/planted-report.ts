/** Reports for tests of pages: made from matrices of the bundled model and updates that are known. */
import { fileURLToPath } from "node:url";
import { amplification, frobenius } from "../../../src/analysis/measures/amplification.ts";
import { intrudersAmong } from "../../../src/analysis/measures/intruders.ts";
import { effectiveRank, numericRank, stableRank } from "../../../src/analysis/measures/ranks.ts";
import { corner, cosines, maxCosines, pooled } from "../../../src/analysis/measures/similarity.ts";
import type { AnalysisReport, CheckpointReport, MatrixReport } from "../../../src/analysis/report.ts";
import { openSafetensors } from "../../../src/formats/safetensors/index.ts";
import { type Matrix, svd } from "../../../src/linear-algebra/svd.ts";
import { Random } from "../../../src/random.ts";

const K = 10;
const EPSILON = 0.5;
const BUNDLED = fileURLToPath(new URL("../../../../bundled/model/model.safetensors", import.meta.url));

/** An update of a matrix: `strengths.length` random directions, each so many times σ₁ of the base. */
export interface Planted {
  readonly name: string;
  readonly strengths: readonly number[];
}

/** @param planted names of matrices of the bundled model @returns a report as an analysis makes it */
export async function plantedReport(
  planted: readonly Planted[],
  more: Partial<AnalysisReport> = {},
): Promise<AnalysisReport> {
  const file = await openSafetensors(BUNDLED);
  try {
    const matrices: MatrixReport[] = [];
    for (const [i, { name, strengths }] of planted.entries()) {
      const [rows = 0, columns = 0] = file.tensors.get(name)?.shape ?? [];
      const base: Matrix = { rows, columns, data: await file.readFloat32(name) };
      matrices.push(matrixReport(name, base, strengths, new Random(i + 1)));
    }
    return {
      format: "lowrank-analysis",
      version: 1,
      base: { name: "bundled/model", kind: "model", content_hash: "ab".repeat(32) },
      tuned: { name: "runs/tuned", kind: "adapter", method: "lora", r: 8, alpha: 16, content_hash: "cd".repeat(32) },
      settings: { k: K, epsilon: EPSILON, side: "left", seed: 42 },
      total_intruders: matrices.reduce((sum, { intruders }) => sum + intruders, 0),
      warnings: [],
      matrices,
      skipped: [],
      ...more,
    };
  } finally {
    await file.close();
  }
}

function matrixReport(name: string, base: Matrix, strengths: readonly number[], random: Random): MatrixReport {
  const before = svd(base);
  const unit = (length: number) => {
    const vector = Float64Array.from({ length }, () => random.normal());
    const norm = Math.hypot(...vector);
    return vector.map((value) => value / norm);
  };
  const change = new Float64Array(base.rows * base.columns);
  for (const strength of strengths) {
    const [u, v] = [unit(base.rows), unit(base.columns)];
    for (let i = 0, at = 0; i < base.rows; i++) {
      for (let j = 0; j < base.columns; j++, at++) change[at]! += strength * before.values[0]! * u[i]! * v[j]!;
    }
  }
  const delta: Matrix = { ...base, data: change };
  const tuned: Matrix = { ...base, data: change.map((value, at) => value + base.data[at]!) };
  const [after, update] = [svd(tuned), svd(delta)];
  const width = { left: base.rows, right: base.columns };
  const search = (side: "left" | "right") => {
    const similarity = cosines(before[side], after[side]);
    const facts = {
      values: after.values,
      baseVectors: before.values.length,
      width: width[side],
      k: K,
      epsilon: EPSILON,
      side,
    };
    return { similarity, found: intrudersAmong(maxCosines(similarity), facts) };
  };
  const [left, right] = [search("left"), search("right")];
  const { found, similarity } = left;
  const sigmaDelta = Array.from(update.values.slice(0, strengths.length));
  return {
    name,
    shape: [base.rows, base.columns],
    k: K,
    epsilon: EPSILON,
    side: "left",
    intruders: found.count,
    intruder_ranks: found.found.map(({ rank }) => rank),
    intruder_gaps: found.found.map(({ gap }) => gap ?? 0),
    max_cos: found.maxCos,
    nearest: found.nearest,
    other_side: { side: "right", intruders: right.found.count, max_cos: right.found.maxCos },
    spans: found.spans,
    null_max_cos: found.nullMaxCos,
    sigma_base: Array.from(before.values),
    sigma_tuned: Array.from(after.values),
    sigma_delta: sigmaDelta,
    effective_rank_base: effectiveRank(before.values),
    effective_rank_tuned: effectiveRank(after.values),
    effective_rank_delta: effectiveRank(sigmaDelta),
    stable_rank_delta: stableRank(sigmaDelta),
    numeric_rank_delta: numericRank(sigmaDelta, [base.rows, base.columns]),
    norm_base: frobenius(base),
    norm_delta: frobenius(delta),
    amplification: amplification(base, update, strengths.length, 42, before),
    similarity_top: corner(similarity, 10),
    similarity_corner: corner(similarity, 32),
    similarity: pooled(similarity, 64),
  };
}

/** Names of the matrices of the bundled model's layers. */
export function bundledMatrices(layers: readonly number[], kinds: readonly string[]): string[] {
  return layers.flatMap((layer) => kinds.map((kind) => `model.layers.${layer}.${kind}.weight`));
}

/** Checkpoints in which one intruder of a matrix climbs from rank 6 to rank 1, and another one appears. */
export function climbing(name: string): CheckpointReport[] {
  return [100, 200, 300, 400].map((step, i) => ({
    step,
    path: `checkpoint-${step}`,
    total_intruders: i < 2 ? 1 : 2,
    effective_rank_delta: 2 + i / 2,
    matrices: [
      {
        name,
        intruders: [
          {
            rank: [6, 4, 2, 1][i]!,
            sigma: 1 + i,
            max_cos: 0.3,
            same_as_before: i === 0 ? null : 0.7 + 0.09 * i,
            rank_before: i === 0 ? null : [6, 4, 2][i - 1]!,
          },
          ...(i < 2
            ? []
            : [
                {
                  rank: 7,
                  sigma: 0.8,
                  max_cos: 0.4,
                  same_as_before: i === 2 ? 0.2 : 0.9,
                  rank_before: i === 2 ? 3 : 7,
                },
              ]),
        ],
      },
    ],
  }));
}
