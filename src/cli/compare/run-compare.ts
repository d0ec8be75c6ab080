/** `lowrank compare`: runs the cells of a comparison one after the other, and says what became of them. */
import { mkdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { writeRunConfig } from "../../config/write.ts";
import { ConfigError } from "../../errors.ts";
import type { Comparison } from "../../train/compare/comparison.ts";
import { readComparison } from "../../train/compare/read-comparison.ts";
import {
  type Evaluations,
  jobFolder,
  type JobResult,
  type Measured,
  readResult,
  RESULT_FORMAT,
  writeResult,
} from "../../train/compare/result.ts";
import { Interrupted } from "../interrupt.ts";
import type { Output } from "../terminal/output.ts";
import { table } from "../terminal/table.ts";
import { type PlannedJob, prepareComparison, type PreparedComparison } from "./prepare.ts";
import { type JobOutcome, runJob } from "./run-job.ts";
import { CompareView } from "./view.ts";
import { collected, writeReports } from "./write-reports.ts";

export interface CompareOptions {
  /** Folder of everything that is written. Default: lowrank-out/NAME, after the file's name. */
  readonly out?: string;
  readonly only?: readonly string[];
  readonly seeds?: readonly number[];
  /** Checks and shows what there is to do, and does nothing. */
  readonly dryRun?: boolean;
  /** Takes results of the same configuration and data, although other code made them. */
  readonly anyCode?: boolean;
}

export interface CompareStreams {
  readonly signal?: AbortSignal;
  /** Default: stdout. The plan, and the table at the end. */
  readonly out?: Output;
  /** Default: stderr. */
  readonly log?: Output;
}

export interface CompareOutput {
  readonly dir: string;
  /** By the names of jobs. */
  readonly results: ReadonlyMap<string, JobResult<Evaluations>>;
  readonly failed: readonly string[];
}

/**
 * @param overrides `key=value`, in place of keys of the base
 * @throws ConfigError with everything that is wrong with any cell, before any of them runs; Interrupted when stopped: what
 *   has been finished is there
 */
export async function runCompare(
  path: string,
  overrides: readonly string[],
  options: CompareOptions = {},
  { signal, out = process.stdout, log = process.stderr }: CompareStreams = {},
): Promise<CompareOutput> {
  const { only, seeds, dryRun = false } = options;
  const comparison = await readComparison(path, {
    overrides,
    ...(only === undefined ? {} : { only }),
    ...(seeds === undefined ? {} : { seeds }),
  });
  for (const note of comparison.notes) log.write(`note: ${note}\n`);
  const dir = options.out ?? join("lowrank-out", basename(path).replace(/\.\w+$/, ""));
  const prepared = await prepareComparison(comparison, dir, { log, ...(signal === undefined ? {} : { signal }) });
  const results = await knownResults(dir, prepared, options.anyCode === true);
  const todo = prepared.jobs.filter(({ job }) => results.get(job)?.status !== "finished");
  if (dryRun) {
    out.write(`${planText(comparison, prepared, results)}\n`);
    return { dir, results, failed: [] };
  }
  await makeFolder(dir);
  const known = prepared.jobs.length - todo.length;
  if (known > 0) log.write(`${known} of ${prepared.jobs.length} are done already: their results in ${dir} are used\n`);

  const view = new CompareView(log, todo);
  const report = (pictures: boolean) => writeReports(dir, comparison, prepared, results, pictures);
  for (const job of todo) {
    view.start(job);
    let result: JobResult<Evaluations>;
    try {
      result = await runOne(dir, job, comparison, view, signal);
    } catch (error) {
      if (signal?.aborted !== true) throw error;
      view.stop();
      await report(true);
      const left = todo.length - todo.indexOf(job);
      log.write(`\n${prepared.jobs.length - left} of ${prepared.jobs.length} are done and kept in ${dir}\n`);
      log.write(`to go on: the same command again\n`);
      throw new Interrupted();
    }
    results.set(job.job, result);
    view.end(job, result);
    await report(false);
  }
  const written = await report(true);
  const failed = prepared.jobs.filter(({ job }) => results.get(job)?.status === "failed").map(({ job }) => job);
  out.write(`\n${collected(comparison, prepared, results).text}\n\n`);
  out.write(`${written.join("\n")}\n`);
  if (failed.length > 0) {
    log.write(`\n${failed.length} failed: ${failed.join(", ")}\n`);
    log.write(
      `what they said is in ${join(dir, "cells", failed[0]!, "log.txt")} and beside it; the same command tries them again\n`,
    );
  }
  return { dir, results, failed };
}

async function runOne(
  dir: string,
  planned: PlannedJob,
  comparison: Comparison,
  view: CompareView,
  signal: AbortSignal | undefined,
): Promise<JobResult<Evaluations>> {
  const { job, kind, config, budget, identity } = planned;
  const folder = jobFolder(dir, job);
  await rm(folder, { recursive: true, force: true });
  const configPath = join(folder, "run.yaml");
  await writeRunConfig(configPath, config);
  const start = performance.now();
  const outcome: JobOutcome = await runJob(
    { kind, request: { config, configPath, forgetting: comparison.forgetting, budget } },
    join(folder, "log.txt"),
    { onStep: (step) => view.step(step), ...(signal === undefined ? {} : { signal }) },
  );
  const seconds = Number(((performance.now() - start) / 1000).toFixed(2));
  const common = { format: RESULT_FORMAT, job, identity, seconds } as const;
  const result: JobResult<Evaluations> =
    "measured" in outcome
      ? { ...common, status: "finished", measured: outcome.measured }
      : { ...common, status: "failed", reason: outcome.reason };
  await writeResult(dir, result);
  return result;
}

/** Results on disk that are those of these very jobs. */
async function knownResults(
  dir: string,
  { jobs }: PreparedComparison,
  anyCode: boolean,
): Promise<Map<string, JobResult<Evaluations>>> {
  const results = new Map<string, JobResult<Evaluations>>();
  for (const { job, identity } of jobs) {
    const found = await readResult(dir, job);
    if (found === undefined || found.status === "failed") continue;
    const isSame = anyCode ? withoutCode(found.identity) === withoutCode(identity) : found.identity === identity;
    if (isSame) results.set(job, found);
  }
  return results;
}

/** An identity is `CONFIGURATION-CODE`. */
function withoutCode(identity: string): string {
  return identity.split("-")[0]!;
}

async function makeFolder(dir: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true });
  } catch (cause) {
    throw new ConfigError({ where: "--out", what: "is no folder, and none can be made there", got: dir, cause });
  }
}

function planText(
  { seeds }: Comparison,
  { jobs, budgets, trainable }: PreparedComparison,
  results: ReadonlyMap<string, JobResult<Evaluations | Measured>>,
): string {
  const rows = jobs.map(({ job, kind, cell, config, budget }) => [
    job,
    ...(kind === "base"
      ? ["-", "-", "-", "-", "-"]
      : [
          config.finetuningType,
          config.learningRate.toExponential(),
          trainable.get(cell.id)?.toLocaleString("en-US") ?? "-",
          budget.steps,
          budget.tokens.toLocaleString("en-US"),
        ]),
    results.get(job)?.status === "finished" ? "done" : "to do",
  ]);
  const header = ["job", "method", "learning rate", "trainable", "steps", "tokens", "state"];
  const align = ["left", "left", "right", "right", "right", "right", "left"] as const;
  const [budget] = [...budgets.values()];
  const totals = `${seeds.length} ${seeds.length === 1 ? "seed" : "seeds"}, ${budget!.rows} rows in each run`;
  return `${table(rows, { header, align })}\n${totals}`;
}
