/** `lowrank experiment`: runs experiments one after the other and shows what they found. */
import { dirname, join } from "node:path";
import { ConfigError } from "../../errors.ts";
import { EXPERIMENTS } from "../../experiments/definitions/index.ts";
import type { Conclusion, Experiment, Scale } from "../../experiments/experiment.ts";
import { runExperiment } from "../../experiments/frame/run-experiment.ts";
import { meant } from "../../nearest.ts";
import { Interrupted } from "../interrupt.ts";
import { type Output, paint } from "../terminal/output.ts";
import { table } from "../terminal/table.ts";
import { versions } from "../versions.ts";
import { jobsView } from "./view.ts";

export interface ExperimentFlags {
  /** Folder of the report; of several experiments, the one above theirs. Default: lowrank-out/experiments/NAME. */
  readonly out?: string;
  /** Folder of the results that experiments share. Default: `jobs` beside the reports. */
  readonly jobs?: string;
  readonly seeds?: readonly number[];
  readonly quick?: true;
  readonly anyCode?: true;
  readonly threads?: number;
}

export interface ExperimentStreams {
  readonly signal?: AbortSignal;
  /** Default: stdout. */
  readonly out?: Output;
  /** Default: stderr. */
  readonly log?: Output;
  /** Default: all there are. */
  readonly experiments?: readonly Experiment[];
}

const HOME = join("lowrank-out", "experiments");
const ALL = "all";

/** A line for each experiment. */
export function experimentList(experiments: readonly Experiment[] = EXPERIMENTS): string {
  const rows = experiments.map(({ name, about, minutes }) => [name, `${minutes} min`, about]);
  return table(rows, { header: ["name", "time", "question"], align: ["left", "right", "left"] });
}

/**
 * @param names of experiments, or `all`
 * @returns how many jobs failed
 * @throws ConfigError if a name is none; Interrupted when it was stopped: what has been finished is there
 */
export async function runExperiments(
  names: readonly string[],
  flags: ExperimentFlags,
  { signal, out = process.stdout, log = process.stderr, experiments = EXPERIMENTS }: ExperimentStreams = {},
): Promise<number> {
  const chosen = chosenOf(names, experiments);
  const quick = flags.quick === true;
  const scale: Scale = { seeds: flags.seeds ?? (quick ? [0] : [0, 1, 2]), quick };
  const software = Object.entries(await versions()).map(([name, version]) => `${name} ${version}`);
  let failures = 0;
  for (const experiment of chosen) {
    const dir =
      flags.out === undefined
        ? join(HOME, experiment.name)
        : chosen.length === 1
          ? flags.out
          : join(flags.out, experiment.name);
    const pool = flags.jobs ?? join(dirname(dir), "jobs");
    log.write(`${paint(experiment.name, "bold", "isTTY" in log && log.isTTY === true)}: ${experiment.about}\n`);
    const view = jobsView(log);
    const { conclusion, written, failed, left } = await runExperiment(experiment, {
      out: dir,
      pool,
      scale,
      software,
      watch: view,
      anyCode: flags.anyCode === true,
      ...(flags.threads === undefined ? {} : { threads: flags.threads }),
      ...(signal === undefined ? {} : { signal }),
    });
    view.stop();
    out.write(`\n${claimsText(conclusion)}\n\n${written.slice(0, 3).join("\n")}\n\n`);
    failures += failed.length;
    if (failed.length > 0) {
      log.write(`${failed.length} jobs failed; the same command tries them again:\n`);
      for (const job of failed) log.write(`  ${job.label}: ${job.reason.split("\n")[0]!}\n`);
    }
    if (left > 0) {
      log.write(`${left} jobs are still to be run; to go on: the same command again\n`);
      throw new Interrupted();
    }
  }
  return failures;
}

function chosenOf(names: readonly string[], experiments: readonly Experiment[]): readonly Experiment[] {
  if (names.includes(ALL)) return experiments;
  const known = experiments.map(({ name }) => name);
  const wrong = names.filter((name) => !known.includes(name));
  if (wrong.length > 0) {
    const close = wrong.flatMap((name) => {
      const found = meant(name, known);
      return found === undefined ? [] : [`"${name}" is nearest to "${found}"`];
    });
    throw new ConfigError({
      where: "experiment",
      what: "there is no such experiment",
      got: wrong.map((name) => `"${name}"`).join(", "),
      expected: [...known, ALL].join(", "),
      ...(close.length === 0 ? {} : { hint: close.join("; ") }),
    });
  }
  return [...new Set(names)].map((name) => experiments.find((one) => one.name === name)!);
}

/** What was found, for a terminal: each claim on lines of its own, since they are sentences. */
function claimsText({ claims, notes = [] }: Conclusion): string {
  const mark = { yes: "holds", no: "does NOT hold here", inconclusive: "cannot be decided" };
  return [
    ...claims.map(
      ({ claim, published, found, holds }) =>
        `${claim}: ${mark[holds]}\n    published: ${published}\n    found:     ${found}`,
    ),
    ...notes.map((note) => `note: ${note}`),
  ].join("\n");
}
