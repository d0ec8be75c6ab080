/** `lowrank continual`: a recipe as an experiment of its own. */
import { basename, dirname, join, resolve } from "node:path";
import { readConfigText } from "../../config/read.ts";
import { ConfigError } from "../../errors.ts";
import { type ContinualPlan, planJobs } from "../../experiments/continual/plan.ts";
import { parseSequence, type SequenceFile, taskSource } from "../../experiments/continual/read-plan.ts";
import { concludeSequence } from "../../experiments/definitions/continual.ts";
import { concludeOLora } from "../../experiments/definitions/o-lora.ts";
import type { Experiment } from "../../experiments/experiment.ts";
import { oloraFolder } from "../../experiments/tasks/olora-cl.ts";
import { type ExperimentStreams, runExperiments } from "../experiment/run.ts";

export interface ContinualFlags {
  readonly model?: string;
  readonly data?: string;
  readonly out?: string;
  readonly jobs?: string;
  readonly seeds?: readonly number[];
  readonly anyCode?: true;
  readonly threads?: number;
}

/** Where the O-LoRA benchmark may be when nothing is said. */
const DATA_VARIABLE = "LOWRANK_TEST_DATA";

/**
 * @returns how many jobs failed
 * @throws ConfigError with everything that is wrong with the recipe; Interrupted when it was stopped: what has been finished is there
 */
export async function runContinual(
  recipe: string,
  flags: ContinualFlags,
  streams: Omit<ExperimentStreams, "experiments"> = {},
): Promise<number> {
  const file = parseSequence(await readConfigText(recipe), recipe);
  const name = basename(recipe).replace(/\.\w+$/, "");
  const { experiment, notes } = await experimentOf(name, recipe, file, flags);
  const log = streams.log ?? process.stderr;
  for (const note of notes) log.write(`note: ${note}\n`);
  const out = flags.out ?? join("lowrank-out", name);
  const { jobs = join(out, "jobs"), seeds = file.seeds, anyCode, threads } = flags;
  return runExperiments(
    [name],
    {
      out,
      jobs,
      seeds,
      ...(anyCode === undefined ? {} : { anyCode }),
      ...(threads === undefined ? {} : { threads }),
    },
    { ...streams, experiments: [experiment] },
  );
}

async function experimentOf(
  name: string,
  recipe: string,
  file: SequenceFile,
  flags: ContinualFlags,
): Promise<{ experiment: Experiment; notes: readonly string[] }> {
  const data = resolve(flags.data ?? dirname(recipe));
  const olora = await firstFolder([data, process.env[DATA_VARIABLE]]);
  const found = taskSource(file, { data, olora });
  if (found === undefined && flags.data !== undefined) {
    throw new ConfigError({
      where: "--data",
      what: "the O-LoRA benchmark is not there",
      got: flags.data,
      expected: "CL_Benchmark/NLI/MNLI/train.json and the others of its repository",
    });
  }
  const source = found ?? ({ kind: "generated" } as const);
  const notes =
    found === undefined
      ? ["olora-cl was not found: the generated tasks are used; --data says where it is"]
      : source.kind === "generated"
        ? []
        : [`tasks from ${source.root}`];
  const model = flags.model ?? file.plan.model;
  const plan: ContinualPlan = { ...file.plan, source, ...(model === undefined ? {} : { model: resolve(model) }) };
  const { trainTexts, testTexts, headTexts, epochs, batchSize, maxLength } = plan;
  const isOLora = plan.methods.every(({ kind }) => kind !== "full");
  const experiment: Experiment = {
    name,
    title: `Tasks one after the other: ${name}`,
    about: "What does each method forget of earlier tasks?",
    source: "Shuttleworth et al. 2024, arXiv 2410.21228; Wang et al. 2023, arXiv 2310.14152",
    minutes: Math.round(plan.methods.length * file.seeds.length),
    setting: [
      `Model: ${model ?? "the bundled one"}.`,
      `Tasks: ${source.kind === "generated" ? "the generated ones" : `${source.tasks.map((task) => task.name).join(", ")}, from files`}; at most ${trainTexts} training and ${testTexts} test texts each${maxLength === undefined ? "" : `, cut to ${maxLength} tokens`}.`,
      `${epochs} passes in batches of ${batchSize} for each task; heads for tests on ${headTexts} training texts at most.`,
      ...notes.map((note) => `${note.charAt(0).toUpperCase()}${note.slice(1)}.`),
    ],
    jobs: (scale) => planJobs(plan, scale),
    conclude: (results, scale) => (isOLora ? concludeOLora : concludeSequence)(plan, results, scale),
  };
  return { experiment, notes };
}

async function firstFolder(dirs: readonly (string | undefined)[]): Promise<string | undefined> {
  for (const dir of dirs) {
    const found = dir === undefined || dir === "" ? undefined : await oloraFolder(dir);
    if (found !== undefined) return found;
  }
  return undefined;
}
