/** Singular values and vectors of what a training run made: intruders, ranks and norms of every matrix. Nothing is trained. */
import { DEFAULT_EPSILON, DEFAULT_K, intrudersAmong } from "../../analysis/measures/intruders.ts";
import { effectiveRank, numericRank, roundingLevel } from "../../analysis/measures/ranks.ts";
import { cosines, maxCosines } from "../../analysis/measures/similarity.ts";
import { frobenius } from "../../analysis/measures/amplification.ts";
import type { Side } from "../../analysis/report.ts";
import { type Svd, svd } from "../../linear-algebra/svd.ts";
import { job, type Job, type JobContext, type JobKind } from "../experiment.ts";
import { bundledIdentity } from "../rig/bundled.ts";
import { baseMatrices, readTuned, type TunedMatrix } from "../rig/weights-file.ts";
import { TRAIN, type TrainSettings } from "./train.ts";

export interface SpectraSettings {
  readonly of: TrainSettings;
}

export interface SpectraResult {
  readonly matrices: readonly MatrixSpectrum[];
}

/** Of one tuned matrix. Vectors are counted by rank, from 1; numbers are rounded to five digits. */
export interface MatrixSpectrum {
  /** Of the weight. */
  readonly name: string;
  readonly shape: readonly [outputs: number, inputs: number];
  /** Largest |cosine| of each left vector with one of the base. */
  readonly maxCos: readonly number[];
  /** Of each right vector. */
  readonly maxCosRight: readonly number[];
  /** Intruders among the first 10 left vectors whose σ is within 1 % of a neighbour's. */
  readonly loose: number;
  readonly sigma: readonly number[];
  readonly sigmaDelta: readonly number[];
  readonly effectiveRankDelta: number;
  /** σ of ΔW above rounding. */
  readonly rankDelta: number;
  readonly effectiveRankBase: number;
  readonly normDelta: number;
  readonly normBase: number;
}

export const SPECTRA: JobKind<SpectraSettings, SpectraResult> = {
  name: "spectra",
  version: 1,
  label: ({ of }) => `spectra of ${TRAIN.label(of)}`,
  seconds: () => 3,
  depends: async () => [await bundledIdentity()],
  needs: ({ of }) => [trainJob(of)],
  async run({ of }, context) {
    const { matrices } = await readTuned(context.done(trainJob(of)).folder);
    const base = await baseSvds();
    return { matrices: await eachMatrix(matrices, context, (matrix) => spectrum(matrix, base.get(matrix.name)!)) };
  },
};

export function trainJob(settings: TrainSettings): Job {
  return job(TRAIN, settings);
}

/** Intruders of a whole model. @param side default: left, as in the authors' code */
export function totalIntruders(
  { matrices }: SpectraResult,
  { k = DEFAULT_K, epsilon = DEFAULT_EPSILON, side = "left" }: IntruderCount = {},
): number {
  return matrices.reduce((sum, { maxCos, maxCosRight, shape: [outputs, inputs] }) => {
    const chosen = side === "spanning" ? (outputs <= inputs ? "left" : "right") : side;
    const all = chosen === "left" ? maxCos : maxCosRight;
    return sum + all.slice(0, k).filter((cosine) => cosine < epsilon).length;
  }, 0);
}

export interface IntruderCount {
  readonly k?: number;
  readonly epsilon?: number;
  /** `spanning`: of each matrix the side on which the base's vectors are a whole basis. */
  readonly side?: Side | "spanning";
}

/** Runs `work` on every matrix, and lets a signal and the progress through in between. */
export async function eachMatrix<T>(
  matrices: readonly TunedMatrix[],
  { signal, progress }: Pick<JobContext, "signal" | "progress">,
  work: (matrix: TunedMatrix) => T,
): Promise<T[]> {
  const results: T[] = [];
  for (const [i, matrix] of matrices.entries()) {
    results.push(work(matrix));
    progress((i + 1) / matrices.length);
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
  }
  return results;
}

let bases: Promise<ReadonlyMap<string, Svd>> | undefined;

/** Of the bundled model's matrices, by the names of weights. Computed once. */
export function baseSvds(): Promise<ReadonlyMap<string, Svd>> {
  bases ??= baseMatrices().then((all) => new Map([...all].map(([name, { matrix }]) => [name, svd(matrix)])));
  return bases;
}

function spectrum({ name, base, delta, tuned, factors }: TunedMatrix, of: Svd): MatrixSpectrum {
  const [after, update] = [svd(tuned), svd(delta)];
  const left = maxCosines(cosines(of.left, after.left));
  const { found } = intrudersAmong(left, {
    values: after.values,
    baseVectors: of.left.length,
    width: tuned.rows,
    k: DEFAULT_K,
    epsilon: DEFAULT_EPSILON,
    side: "left",
  });
  const shape = [tuned.rows, tuned.columns] as const;
  const normBase = frobenius(base);
  // Stored as a whole, ΔW has the rounding of W; factors have none.
  const floor = factors === undefined ? roundingLevel(normBase, shape) : 0;
  const kept = Array.from(update.values).slice(0, Math.max(1, numericRank(update.values, shape, { floor })));
  return {
    name,
    shape,
    maxCos: rounded(left.max),
    maxCosRight: rounded(maxCosines(cosines(of.right, after.right)).max),
    loose: found.filter(({ isLoose }) => isLoose).length,
    sigma: rounded(after.values),
    sigmaDelta: rounded(kept),
    effectiveRankDelta: effectiveRank(kept),
    rankDelta: kept.length,
    effectiveRankBase: effectiveRank(of.values),
    normDelta: frobenius(delta),
    normBase,
  };
}

export function rounded(values: ArrayLike<number>): number[] {
  return Array.from(values, (value) => Number(value.toPrecision(5)));
}
