/** An experiment from its jobs to its report. */
import type { Conclusion, Experiment, Scale } from "../experiment.ts";
import { experimentCode } from "./job-identity.ts";
import { type FailedJob, type KeptJob, Pool } from "./pool.ts";
import { writeReport } from "./report.ts";
import { type JobsOutput, runJobs, type RunOptions } from "./run-jobs.ts";

export interface ExperimentOptions extends RunOptions {
  /** Folder of the report. */
  readonly out: string;
  /** Folder of the results of jobs, which experiments share. */
  readonly pool: string;
  readonly scale: Scale;
  /** Names and versions of the software, for the report. Default: none. */
  readonly software?: readonly string[];
}

export interface ExperimentOutput {
  readonly conclusion: Conclusion;
  /** Paths of the report. */
  readonly written: readonly string[];
  readonly jobs: readonly KeptJob[];
  readonly failed: readonly FailedJob[];
  /** Jobs that are still to be run, since it was stopped. */
  readonly left: number;
}

/** Runs what has not been run yet, and concludes from all. When it is stopped, it concludes from what there is. */
export async function runExperiment(experiment: Experiment, options: ExperimentOptions): Promise<ExperimentOutput> {
  const { out, scale, software = [] } = options;
  const pool = new Pool(options.pool, await experimentCode());
  const { results, kept, failed, left }: JobsOutput = await runJobs(experiment.jobs(scale), pool, options);
  const conclusion = await experiment.conclude(results, scale);
  const written = await writeReport(out, { experiment, scale, conclusion, jobs: kept, left, software });
  return { conclusion, written, jobs: kept, failed, left };
}
