/** Runs jobs one after the other. What each gives is kept before the next one starts; one that fails takes none but those that need it. */
import { LowrankError } from "../../errors.ts";
import type { Job, JobContext, Results } from "../experiment.ts";
import { keyOf, type PlannedJob, planJobs } from "./job-identity.ts";
import type { FailedJob, KeptJob, Pool } from "./pool.ts";

export interface RunOptions {
  /** Takes results that another version of the code has made. Default: false. */
  readonly anyCode?: boolean;
  /** Of the engine. Default: one per core. */
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly watch?: RunWatch;
}

/** Told how it goes. Everything is optional. */
export interface RunWatch {
  /** @param known how many of the jobs are done already */
  plan?(jobs: readonly PlannedJob[], known: number): void;
  start?(job: PlannedJob): void;
  /** What part of the job at hand is done, 0 to 1. */
  progress?(job: PlannedJob, fraction: number): void;
  /** @param left seconds that the others will take, as it goes here */
  end?(job: PlannedJob, kept: KeptJob, left: number): void;
}

export interface JobsOutput {
  readonly results: Results;
  /** All that are there, in the order of the plan. */
  readonly kept: readonly KeptJob[];
  readonly failed: readonly FailedJob[];
  /** Jobs that were not begun, since the run was stopped. */
  readonly left: number;
}

/** @returns also when `signal` is aborted: with what is done */
export async function runJobs(jobs: readonly Job[], pool: Pool, options: RunOptions = {}): Promise<JobsOutput> {
  const { anyCode = false, signal, threads, watch = {} } = options;
  const plan = await planJobs(jobs);
  const planned = [...plan.values()];
  const kept = new Map<string, KeptJob>();
  // A job whose need was made anew is made anew as well.
  for (const one of planned) {
    const found = await pool.read(one, anyCode);
    if (found?.status !== "finished" || one.needs.some((need) => !kept.has(need))) continue;
    kept.set(one.identity, found);
  }
  const todo = planned.filter(({ identity }) => !kept.has(identity));
  watch.plan?.(planned, planned.length - todo.length);
  let [expected, took] = [0, 0];
  let left = todo.reduce((sum, { seconds }) => sum + seconds, 0);
  let count = todo.length;
  for (const one of todo) {
    if (signal?.aborted === true) break;
    watch.start?.(one);
    const ended = await runOne(one, pool, kept, { signal, threads, watch, plan });
    if (ended === undefined) break;
    kept.set(one.identity, ended);
    count--;
    left -= one.seconds;
    expected += one.seconds;
    took += ended.seconds;
    watch.end?.(one, ended, (left * took) / expected);
  }
  const all = planned.flatMap(({ identity }) => kept.get(identity) ?? []);
  return {
    results: resultsOf(plan, kept, pool),
    kept: all,
    failed: all.filter((one) => one.status === "failed"),
    left: count,
  };
}

/** @returns undefined if it was stopped */
async function runOne(
  planned: PlannedJob,
  pool: Pool,
  kept: ReadonlyMap<string, KeptJob>,
  {
    signal,
    threads,
    watch,
    plan,
  }: {
    readonly signal: AbortSignal | undefined;
    readonly threads: number | undefined;
    readonly watch: RunWatch;
    readonly plan: ReadonlyMap<string, PlannedJob>;
  },
): Promise<KeptJob | undefined> {
  const missing = planned.needs.map((need) => kept.get(need)).find((need) => need?.status !== "finished");
  if (missing !== undefined) return pool.end(planned, undefined, { reason: `needs ${missing.label}, which failed` }, 0);
  const folder = await pool.begin(planned);
  const start = performance.now();
  const seconds = () => (performance.now() - start) / 1000;
  const results = resultsOf(plan, kept, pool);
  const context: JobContext = {
    folder,
    state: pool.state(planned),
    signal,
    threads,
    done: (needed) => ({ result: results.of(needed)!, folder: results.folder(needed) }),
    progress: (fraction) => watch.progress?.(planned, fraction),
  };
  try {
    const result: unknown = await planned.job.kind.run(planned.job.settings, context);
    return await pool.end(planned, folder, { result }, seconds());
  } catch (error) {
    if (signal?.aborted === true) {
      await pool.drop(folder);
      return undefined;
    }
    return pool.end(planned, folder, { reason: reasonOf(error) }, seconds());
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof LowrankError) return `${error.name} ${error.message}`;
  return `a bug in lowrank: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}

function resultsOf(plan: ReadonlyMap<string, PlannedJob>, kept: ReadonlyMap<string, KeptJob>, pool: Pool): Results {
  const find = (wanted: Job) => {
    const planned = plan.get(keyOf(wanted));
    const found = planned === undefined ? undefined : kept.get(planned.identity);
    return found?.status === "finished" ? { planned: planned!, found } : undefined;
  };
  return {
    of: <S, R>(wanted: Job<S, R>) => find(wanted)?.found.result as R | undefined,
    folder(wanted) {
      const known = find(wanted);
      if (known === undefined) throw new Error(`${wanted.kind.label(wanted.settings)} has not finished`);
      return pool.folder(known.planned);
    },
  };
}
