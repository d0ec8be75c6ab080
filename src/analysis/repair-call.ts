/** What a repair is asked for, and the search for what it scales: the same for adapters and for whole checkpoints. */
import type { Columns } from "../linear-algebra/columns.ts";
import type { Matrix, Svd } from "../linear-algebra/svd.ts";
import type { Decomposer } from "./decomposer.ts";
import { vectorsOf } from "./measure-pair.ts";
import { type Intruders, intrudersAmong } from "./measures/intruders.ts";
import { cosines, maxCosines } from "./measures/similarity.ts";
import type { RepairedMatrix } from "./repair-report.ts";
import type { AnalysisSettings, Side } from "./report.ts";
import type { LoadedPair, PairOptions, WeightPair, WeightPairs } from "./weight-pairs.ts";

export interface RepairOptions extends PairOptions {
  /** λ: 1 changes nothing, 0 takes the intruders away, 2 doubles them. Default: 0.75, as in PEFT. */
  readonly lambda?: number;
  /** Folder to write: new, empty, or an earlier repair. */
  readonly out: string;
  /** Default: 10. */
  readonly k?: number;
  /** Default: 0.5. */
  readonly epsilon?: number;
  /** Default: "left". */
  readonly side?: Side;
  /** Rank of repaired matrices; "exact": all directions that ΔW(λ) has. Default: that which they had. */
  readonly rank?: number | "exact";
  /** Only the highest-ranking intruder of each matrix, as in the paper. Default: all of the first k, as in PEFT. */
  readonly topOnly?: boolean;
  /** Writes the adapter even if there is no intruder to scale. Default: false. */
  readonly force?: boolean;
  readonly threads?: number;
  /** Default: `LOWRANK_CACHE`, else `~/.cache/lowrank`; false: nothing is kept. */
  readonly cacheDir?: string | false;
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
}

export interface RepairCall {
  readonly pairs: WeightPairs;
  readonly decomposer: Decomposer;
  readonly settings: AnalysisSettings;
  readonly lambda: number;
  readonly options: RepairOptions;
}

/** What was found, and what writes it. */
export interface Repaired {
  readonly matrices: readonly RepairedMatrix[];
  readonly warnings: readonly string[];
  write(dir: string): Promise<void>;
}

/** Intruders of a pair, and the vectors of W = W₀ + ΔW that they are. */
export interface FoundIntruders {
  readonly intruders: Intruders;
  /** Of W: the first k, and one more. */
  readonly tuned: Svd;
  /** Places of those that are scaled, from 0: none where λ is 1. */
  readonly places: readonly number[];
  /** Vectors of W₀ on the side that is compared. */
  readonly known: Columns;
}

export async function findIn(pair: WeightPair, { base, tuned }: LoadedPair, call: RepairCall): Promise<FoundIntruders> {
  const { decomposer, settings, options, lambda } = call;
  const [before, after] = await Promise.all([
    decomposer.svd(base!),
    decomposer.svd(tuned!, settings.k + 1, { keep: false }),
  ]);
  const known = vectorsOf(before, settings.side);
  const intruders = among(after, known, pair, settings);
  const all = intruders.found.map(({ rank }) => rank - 1);
  const scaled = options.topOnly === true ? all.slice(0, 1) : all;
  return { intruders, tuned: after, places: lambda === 1 ? [] : scaled, known };
}

/** What scaling adds to W: (λ − 1) Σ uᵢ σᵢ vᵢᵀ, as columns of B and rows of A. */
export function changeOf(
  { tuned, places }: Pick<FoundIntruders, "tuned" | "places">,
  lambda: number,
): { readonly B: Columns; readonly A: Columns } {
  return {
    B: places.map((place) => tuned.left[place]!.map((value) => value * (lambda - 1) * tuned.values[place]!)),
    A: places.map((place) => tuned.right[place]!),
  };
}

/** Intruders in a matrix that takes the place of W. */
export async function intrudersLeft(
  W: Matrix,
  { known }: FoundIntruders,
  pair: WeightPair,
  { decomposer, settings }: RepairCall,
): Promise<number> {
  const again = await decomposer.svd(W, settings.k + 1, { keep: false });
  return among(again, known, pair, settings).count;
}

/** A row of the report. @param rest what was written in the place of W */
export function repairedMatrix(
  { name, shape }: WeightPair,
  { intruders, places }: FoundIntruders,
  rest: Pick<RepairedMatrix, "intruders_after" | "rank_before" | "rank" | "truncation_error">,
): RepairedMatrix {
  return {
    name,
    shape,
    intruders_before: intruders.count,
    scaled_ranks: places.map((place) => place + 1),
    ...rest,
  };
}

function among(
  tuned: Svd,
  known: Columns,
  { shape }: Pick<WeightPair, "shape">,
  { k, epsilon, side }: AnalysisSettings,
): Intruders {
  const similar = cosines(known, vectorsOf(tuned, side).slice(0, k));
  return intrudersAmong(maxCosines(similar), {
    values: tuned.values,
    baseVectors: similar.rows,
    width: shape[side === "left" ? 0 : 1],
    k,
    epsilon,
    side,
  });
}
