/**
 * The log of a run as transformers keeps it in `log_history`, one row for each logging step and each evaluation, and a last
 * one; with its names, which are also those of TensorBoard's curves and of the result files.
 */

/** Numbers by transformers' names. */
export interface LogRow {
  /** Optimizer steps taken. */
  readonly step: number;
  /** Passes over the data, with the fraction of the present one. */
  readonly epoch: number;
  readonly [metric: string]: number;
}

export interface TrainRow extends LogRow {
  /** Mean over the supervised tokens since the last such row. */
  readonly loss: number;
  readonly learning_rate: number;
}

export interface EvalRow extends LogRow {
  readonly eval_loss: number;
}

export function isTrainRow(row: LogRow): row is TrainRow {
  return row["loss"] !== undefined;
}

export function isEvalRow(row: LogRow): row is EvalRow {
  return row["eval_loss"] !== undefined;
}

/** A row of what a callback measured: see analysis-row.ts. */
export function isAnalysisRow(row: LogRow): boolean {
  return row["analysis_intruders"] !== undefined;
}

/** The row without its place in the run: what transformers calls metrics. */
export function metricsOf(row: LogRow): Record<string, number> {
  const { step: _step, ...metrics } = row;
  return metrics;
}

export interface SpeedCounts {
  readonly runtimeMs: number;
  readonly samples?: number;
  readonly steps?: number;
  readonly tokens?: number;
}

/** `train_runtime` (seconds), `train_samples_per_second`, …, rounded as transformers rounds them. */
export function speedMetrics(split: "train" | "eval", { runtimeMs, ...counts }: SpeedCounts): Record<string, number> {
  const seconds = runtimeMs / 1000;
  const metrics: Record<string, number> = { [`${split}_runtime`]: round(seconds, 4) };
  for (const [name, count] of Object.entries(counts)) {
    if (seconds > 0 && count !== undefined) metrics[`${split}_${name}_per_second`] = round(count / seconds, 3);
  }
  return metrics;
}

/** Rounded to so many decimals. */
export function round(value: number, decimals: number): number {
  return Number(value.toFixed(decimals));
}
