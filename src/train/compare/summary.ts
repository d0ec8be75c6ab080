/** Results of all seeds of a cell in one row. */
import type { Cell } from "./comparison.ts";
import type { Evaluations, JobResult, Measured } from "./result.ts";

/** Mean and, of two values or more, their standard deviation as of a sample. */
export interface Spread {
  readonly mean: number;
  readonly sd: number | null;
  readonly count: number;
}

export interface SeedResult {
  readonly seed: number;
  /** Undefined: not there yet. */
  readonly result: JobResult<Measured> | undefined;
  /** The base's, evaluated on the samples of this seed. */
  readonly before: JobResult<Evaluations> | undefined;
}

/** Undefined numbers: there is no finished seed, or nothing was measured. */
export interface Row {
  readonly cell: string;
  readonly storage: string;
  readonly method: string;
  readonly learningRate: number;
  readonly finished: number;
  readonly failures: readonly { readonly seed: number; readonly reason: string }[];
  readonly trainableParameters: number | undefined;
  readonly savedBytes: number | undefined;
  readonly finalLoss: Spread | undefined;
  /** Perplexities. */
  readonly task: Spread | undefined;
  readonly taskBefore: Spread | undefined;
  readonly pretraining: Spread | undefined;
  readonly pretrainingBefore: Spread | undefined;
  readonly tokensPerSecond: Spread | undefined;
  readonly peakBytes: Spread | undefined;
  readonly positions: number | undefined;
  /** Of every step, the mean over seeds. */
  readonly losses: readonly number[];
}

export function rowOf({ name, storage, config }: Cell, seeds: readonly SeedResult[]): Row {
  const finished = seeds.flatMap(({ result }) => (result?.status === "finished" ? [result.measured] : []));
  const before = seeds.flatMap((one) => (one.before?.status === "finished" ? [one.before.measured] : []));
  const pretrainings = (of: readonly Evaluations[]) => of.flatMap(({ pretraining }) => pretraining?.perplexity ?? []);
  return {
    cell: name,
    storage,
    method: config.finetuningType,
    learningRate: config.learningRate,
    finished: finished.length,
    failures: seeds.flatMap(({ seed, result }) =>
      result?.status === "failed" ? [{ seed, reason: result.reason }] : [],
    ),
    trainableParameters: finished[0]?.trainableParameters,
    savedBytes: finished[0]?.savedBytes,
    finalLoss: spread(finished.map(({ finalLoss }) => finalLoss)),
    task: spread(finished.map(({ task }) => task.perplexity)),
    taskBefore: spread(before.map(({ task }) => task.perplexity)),
    pretraining: spread(pretrainings(finished)),
    pretrainingBefore: spread(pretrainings(before)),
    tokensPerSecond: spread(finished.map(({ tokensPerSecond }) => tokensPerSecond)),
    peakBytes: spread(finished.map(({ trainingPeakBytes }) => trainingPeakBytes)),
    positions: finished[0]?.positions,
    losses: meanCurve(finished.map(({ losses }) => losses)),
  };
}

/** Undefined for no values. */
export function spread(values: readonly number[]): Spread | undefined {
  const count = values.length;
  if (count === 0) return undefined;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, sd: count === 1 ? null : Math.sqrt(squares / (count - 1)), count };
}

function meanCurve(curves: readonly (readonly number[])[]): number[] {
  const length = Math.min(...curves.map((curve) => curve.length));
  if (curves.length === 0) return [];
  return Array.from({ length }, (_, i) => curves.reduce((sum, curve) => sum + curve[i]!, 0) / curves.length);
}

/** Best on the task first; what did not finish last. */
export function byTask(rows: readonly Row[]): Row[] {
  return rows.toSorted((a, b) => (a.task?.mean ?? Infinity) - (b.task?.mean ?? Infinity) || 0);
}
