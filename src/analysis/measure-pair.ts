/** The report of one matrix: decompositions of W₀, W and ΔW, and what the measures make of them. */
import type { Svd } from "../linear-algebra/svd.ts";
import type { Decomposer } from "./decomposer.ts";
import { factoredSvd } from "./factored-svd.ts";
import { amplification, frobenius } from "./measures/amplification.ts";
import { type Intruders, intrudersAmong } from "./measures/intruders.ts";
import { effectiveRank, numericRank, roundingLevel, stableRank } from "./measures/ranks.ts";
import { corner, cosines, maxCosines, pooled } from "./measures/similarity.ts";
import type { AnalysisSettings, MatrixReport, Side } from "./report.ts";
import type { LoadedPair, WeightPair } from "./weight-pairs.ts";

/** First vectors of either side whose cosines are given one by one. */
const CORNER = 10;
const LARGER_CORNER = 32;
/** Cells of a side of the picture of all cosines. */
const GRID = 64;
/** Up to this many, all vectors of ΔW cost little more than its values. */
const SMALL = 256;

export interface Measured {
  readonly report: MatrixReport;
  /** Of the chosen side, and of the other one; undefined without a base. */
  readonly found: { readonly own: Intruders; readonly other: Intruders } | undefined;
}

/** @param r directions of ΔW whose amplification is asked for: the adapter's rank. Default: k */
export async function measurePair(
  { name, shape, rounding }: Pick<WeightPair, "name" | "shape" | "rounding">,
  { base, tuned, delta: update }: LoadedPair,
  decomposer: Decomposer,
  settings: AnalysisSettings,
  r: number = settings.k,
): Promise<Measured> {
  const { k, epsilon, side, seed } = settings;
  const [before, after, delta] = await Promise.all([
    base && decomposer.svd(base),
    tuned && decomposer.svd(tuned, Infinity, { keep: false }),
    updateSvd(update, r, decomposer),
  ]);
  const normDelta = Math.hypot(...delta.values);
  const floor = tuned === undefined || rounding === 0 ? 0 : roundingLevel(frobenius(tuned), shape, rounding);
  const above = numericRank(delta.values, shape);
  const rank = numericRank(delta.values, shape, { floor });
  const common = {
    name,
    shape,
    k,
    epsilon,
    side,
    sigma_delta: Array.from(delta.values.subarray(0, above)),
    effective_rank_delta: effectiveRank(delta.values),
    stable_rank_delta: stableRank(delta.values),
    numeric_rank_delta: rank,
    norm_delta: normDelta,
  };
  const opposite: Side = side === "left" ? "right" : "left";
  if (base === undefined || before === undefined || after === undefined) {
    return {
      found: undefined,
      report: {
        ...common,
        intruders: 0,
        intruder_ranks: [],
        intruder_gaps: [],
        max_cos: [],
        nearest: [],
        other_side: { side: opposite, intruders: 0, max_cos: [] },
        spans: false,
        null_max_cos: 0,
        sigma_base: [],
        sigma_tuned: [],
        effective_rank_base: 0,
        effective_rank_tuned: 0,
        norm_base: 0,
        amplification: null,
        similarity_top: [],
        similarity: [],
      },
    };
  }
  // Of a difference of stored weights, directions below its rounding are noise; those of factors are all meant.
  const directions = "kind" in update ? r : Math.min(r, rank);
  const similar = cosines(vectorsOf(before, side), vectorsOf(after, side));
  const search = (which: Side, matrix: typeof similar) =>
    intrudersAmong(maxCosines(matrix), {
      values: after.values,
      baseVectors: matrix.rows,
      width: which === "left" ? shape[0] : shape[1],
      k,
      epsilon,
      side: which,
    });
  const own = search(side, similar);
  const other = search(opposite, cosines(vectorsOf(before, opposite), vectorsOf(after, opposite)));
  return {
    found: { own, other },
    report: {
      ...common,
      intruders: own.count,
      intruder_ranks: own.found.map(({ rank }) => rank),
      intruder_gaps: own.found.map(({ gap, sigma }) => gap ?? sigma),
      max_cos: own.maxCos,
      nearest: own.nearest,
      other_side: { side: opposite, intruders: other.count, max_cos: other.maxCos },
      spans: own.spans,
      null_max_cos: own.nullMaxCos,
      sigma_base: Array.from(before.values),
      sigma_tuned: Array.from(after.values),
      effective_rank_base: effectiveRank(before.values),
      effective_rank_tuned: effectiveRank(after.values),
      norm_base: frobenius(base),
      amplification: directions === 0 ? null : amplification(base, delta, directions, seed, before),
      similarity_top: corner(similar, CORNER),
      similarity_corner: coarse(corner(similar, LARGER_CORNER)),
      similarity: coarse(pooled(similar, GRID)),
    },
  };
}

/** To three decimals: for pictures, of which they are the largest part. */
function coarse(grid: readonly (readonly number[])[]): number[][] {
  return grid.map((row) => row.map((value) => Math.round(1000 * value) / 1000));
}

/** All values of ΔW, and the first vectors at least. */
export async function updateSvd(update: LoadedPair["delta"], r: number, decomposer: Decomposer): Promise<Svd> {
  if ("kind" in update) return factoredSvd(update);
  const least = Math.min(update.rows, update.columns);
  if (least <= SMALL || r >= least) return decomposer.svd(update, Infinity, { keep: false });
  const [values, { left, right }] = await Promise.all([
    decomposer.singularValues(update, { keep: false }),
    decomposer.svd(update, r, { keep: false }),
  ]);
  return { values, left, right };
}

/** Vectors of a σ above 0: the others have no direction. */
export function vectorsOf(svd: Svd, side: Side): Float64Array[] {
  return svd[side].filter((_, i) => svd.values[i]! > 0);
}
