/** How many steps a run has, and which rows each of them takes. */
import { ConfigError } from "../errors.ts";
import type { Row, RowSource } from "../data/row-source.ts";

export interface PlanSettings {
  readonly perDeviceTrainBatchSize: number;
  readonly gradientAccumulationSteps: number;
  readonly numTrainEpochs: number;
  /** -1: as many as the epochs have. */
  readonly maxSteps: number;
}

export interface Plan {
  /** Optimizer steps of the whole run. */
  readonly totalSteps: number;
  /** Optimizer steps of one pass; undefined where its length is not known. */
  readonly stepsPerEpoch: number | undefined;
  readonly totalEpochs: number;
}

/** As transformers counts: the last step of a pass may have fewer micro-batches, and the last of those fewer rows. */
export function planRun(length: number | undefined, settings: PlanSettings): Plan {
  const { perDeviceTrainBatchSize, gradientAccumulationSteps, numTrainEpochs, maxSteps } = settings;
  if (length === 0) {
    throw new ConfigError({
      where: "dataset",
      what: "there is nothing to train on",
      got: "0 rows",
      hint: "`lowrank data CONFIG` shows what became of the samples",
    });
  }
  if (length === undefined) {
    if (maxSteps > 0) return { totalSteps: maxSteps, stepsPerEpoch: undefined, totalEpochs: 1 };
    const hint = "give max_steps";
    throw new ConfigError({ where: "max_steps", what: "is needed: the length of the data is not known", hint });
  }
  const stepsPerEpoch = Math.ceil(Math.ceil(length / perDeviceTrainBatchSize) / gradientAccumulationSteps);
  if (maxSteps > 0) {
    return { totalSteps: maxSteps, stepsPerEpoch, totalEpochs: Math.ceil(maxSteps / stepsPerEpoch) };
  }
  return {
    totalSteps: Math.ceil(numTrainEpochs * stepsPerEpoch),
    stepsPerEpoch,
    totalEpochs: Math.ceil(numTrainEpochs),
  };
}

/** Where a run is in its data. */
export interface Position {
  /** Number of the pass, from 0. */
  readonly epoch: number;
  /** Rows of this pass that have been used. */
  readonly used: number;
}

/** What one optimizer step takes. */
export interface StepRows {
  readonly batches: readonly (readonly Row[])[];
  /** Where the run is after it. */
  readonly position: Position;
}

/** The steps from a position on, pass after pass without end. @throws ConfigError if a pass has no rows */
export async function* stepsFrom(
  source: RowSource,
  { perDeviceTrainBatchSize: size, gradientAccumulationSteps: accumulate }: PlanSettings,
  start: Position,
): AsyncGenerator<StepRows> {
  for (let { epoch, used } = start; ; epoch++, used = 0) {
    const before = used;
    let batches: Row[][] = [];
    for await (const row of source.rows(epoch, used)) {
      used++;
      const last = batches.at(-1);
      if (last !== undefined && last.length < size) {
        last.push(row);
      } else {
        if (batches.length === accumulate) {
          yield { batches, position: { epoch, used: used - 1 } };
          batches = [];
        }
        batches.push([row]);
      }
    }
    if (batches.length > 0) yield { batches, position: { epoch: epoch + 1, used: 0 } };
    if (used === 0 && before === 0) throw new ConfigError({ where: "dataset", what: "there is nothing to train on" });
  }
}
