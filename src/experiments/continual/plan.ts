/** What a comparison of methods on a sequence of tasks consists of, and its results seed by seed. */
import { taskSequence, type TaskSequence } from "../../analysis/measures/task-sequence.ts";
import { job, type Job, type Results, type Scale } from "../experiment.ts";
import { spreadOf } from "../frame/statistics.ts";
import { SEQUENCE, type SequenceSettings } from "../jobs/sequence.ts";
import { type ContinualMethod, methodLabel } from "./method.ts";
import type { SequenceResult } from "./sequence.ts";

export interface ContinualPlan extends Omit<SequenceSettings, "method" | "seed"> {
  readonly methods: readonly ContinualMethod[];
}

/** One method with its results, one for each seed that has finished. */
export interface MethodRuns {
  readonly method: ContinualMethod;
  /** `lora r=8` */
  readonly label: string;
  /** In the order of the seeds; undefined where a job has failed or was not run. */
  readonly runs: readonly (SequenceResult | undefined)[];
}

export function sequenceJob({ methods: _, ...settings }: ContinualPlan, method: ContinualMethod, seed: number) {
  return job(SEQUENCE, { ...settings, method, seed });
}

export function planJobs(plan: ContinualPlan, { seeds }: Scale): Job[] {
  return plan.methods.flatMap((method) => seeds.map((seed) => sequenceJob(plan, method, seed) as Job));
}

export function methodRuns(plan: ContinualPlan, results: Results, { seeds }: Scale): MethodRuns[] {
  return plan.methods.map((method) => ({
    method,
    label: methodLabel(method),
    runs: seeds.map((seed) => results.of(sequenceJob(plan, method, seed))),
  }));
}

/** A number of each run; NaN where there is no run. */
export function perSeed({ runs }: MethodRuns, of: (run: SequenceResult) => number): number[] {
  return runs.map((run) => (run === undefined ? NaN : of(run)));
}

/** `full 3.1 ± 0.2, lora r=8 2.4 ± 0.1` @param times what numbers are multiplied by, for percent. Default: 1 */
export function spreadsText(
  all: readonly MethodRuns[],
  of: (run: SequenceResult) => number,
  digits: number,
  times = 1,
): string {
  const spread = (one: MethodRuns) =>
    spreadOf(
      perSeed(one, of).map((value) => times * value),
      digits,
    );
  return all.map((one) => `${one.label} ${spread(one)}`).join(", ");
}

/** Average accuracy, backward transfer and forgetting of a run. */
export function measuresOf({ stages, baseline }: SequenceResult): TaskSequence {
  return taskSequence(
    stages.map(({ accuracies }) => accuracies),
    baseline.accuracies,
  );
}

/** Mean over runs of something that is there for each stage; the base first, if `ofBase` is given. */
export function meanOverRuns({ runs }: MethodRuns, of: (run: SequenceResult) => readonly number[]): number[] {
  const found = runs.filter((run) => run !== undefined).map(of);
  return (found[0] ?? []).map((_, i) => found.reduce((sum, values) => sum + values[i]!, 0) / found.length);
}
