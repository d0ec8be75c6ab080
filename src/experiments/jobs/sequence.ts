/** A job: one model is tuned on a sequence of tasks in one way, from one seed. It goes on with the task that it was stopped in. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { DataError } from "../../errors.ts";
import { contentIdentity } from "../../train/compare/identity.ts";
import { canonical } from "../canonical.ts";
import { type ContinualMethod, methodLabel } from "../continual/method.ts";
import { runSequence, type SequenceResult, type SequenceTask } from "../continual/sequence.ts";
import type { JobKind } from "../experiment.ts";
import { bundledIdentity, heldOutTexts, MODEL } from "../rig/bundled.ts";
import { loadTaskFiles, type TaskFiles } from "../tasks/task-files.ts";
import { TASKS } from "../tasks/index.ts";

export interface SequenceSettings {
  /** Folder of the model. Default: the bundled one. */
  readonly model?: string;
  readonly source: TaskSource;
  readonly method: ContinualMethod;
  readonly seed: number;
  /** Texts of each task, at most. */
  readonly trainTexts: number;
  readonly testTexts: number;
  /** Training texts that heads are fitted on for tests, at most. */
  readonly headTexts: number;
  readonly epochs: number;
  readonly batchSize: number;
  /** Tokens of a text at most. Default: the model's positions. */
  readonly maxLength?: number;
  /** Endings of the names of layers whose similarity with the base's is kept for pictures. Default: none. */
  readonly pictured?: readonly string[];
}

/** Where tasks come from. */
export type TaskSource =
  | {
      readonly kind: "generated";
      /** How many of them, from the first. Default: all. */
      readonly count?: number;
    }
  | {
      readonly kind: "files";
      /** Folder that the paths are below. */
      readonly root: string;
      readonly tasks: readonly TaskFiles[];
      /** File of texts like those of the model's pretraining, `{"text"}` in each line. Default: nothing is measured on such. */
      readonly pretraining?: string;
    };

/** The same test texts for all seeds. */
const TEST_SEED = 1_000_003;
/** On two quiet cores, with the bundled model. */
const SECONDS_OF_TEXT = 0.008;

export const SEQUENCE: JobKind<SequenceSettings, SequenceResult> = {
  name: "sequence",
  version: 1,
  label: ({ method, seed, source }) =>
    `${source.kind === "generated" ? "generated" : source.tasks.map(({ name }) => name).join(" ")}, ${methodLabel(method)}, seed ${seed}`,
  seconds: ({ source, epochs, trainTexts }) => 10 + tasksIn(source) * epochs * trainTexts * SECONDS_OF_TEXT,
  async depends(settings) {
    const { model } = settings;
    const tasks = await tasksOf(settings);
    return [
      model === undefined ? await bundledIdentity() : await contentIdentity(await filesOf(model)),
      createHash("sha256").update(canonical(tasks)).digest("hex").slice(0, 32),
    ];
  },
  async run(settings, context) {
    const { signal, threads, state } = context;
    const { model = MODEL, method, seed, epochs, batchSize, headTexts, maxLength, pictured } = settings;
    const pretrainingTexts = await pretrainingOf(settings);
    return runSequence(
      {
        model,
        tasks: await tasksOf(settings),
        method,
        seed,
        epochs,
        batchSize,
        headTexts,
        ...(maxLength === undefined ? {} : { maxLength }),
        ...(pictured === undefined ? {} : { pictured }),
        ...(pretrainingTexts === undefined ? {} : { pretrainingTexts }),
      },
      { folder: state, threads, signal, progress: (fraction) => context.progress(fraction) },
    );
  },
};

/** The texts of all tasks. @throws DataError as the files do */
export async function tasksOf({
  source,
  seed,
  trainTexts,
  testTexts,
}: Pick<SequenceSettings, "source" | "seed" | "trainTexts" | "testTexts">): Promise<SequenceTask[]> {
  if (source.kind === "generated") {
    return TASKS.slice(0, source.count).map(({ name, about, labels, generate }) => ({
      name,
      about,
      labels,
      train: generate(seed, trainTexts),
      test: generate(TEST_SEED, testTexts, "test"),
    }));
  }
  const tasks: SequenceTask[] = [];
  for (const files of source.tasks) {
    tasks.push(await loadTaskFiles(source.root, files, { seed, train: trainTexts, test: testTexts }));
  }
  return tasks;
}

function tasksIn(source: TaskSource): number {
  return source.kind === "generated" ? (source.count ?? TASKS.length) : source.tasks.length;
}

/** Those that make a model what it is. */
async function filesOf(dir: string): Promise<string[]> {
  const names = await readdir(dir);
  return names.filter((name) => /^config\.json$|tokenizer|\.safetensors$/.test(name)).map((name) => join(dir, name));
}

/** @throws DataError if it is no file of lines with a text each */
async function textsIn(path: string): Promise<string[]> {
  try {
    const lines = (await readFile(path, "utf8")).split("\n").filter((line) => line.trim() !== "");
    const texts = lines.map((line) => (JSON.parse(line) as { readonly text?: unknown }).text);
    const at = texts.findIndex((text) => typeof text !== "string");
    if (at < 0) return texts as string[];
    throw new Error(`line ${at + 1} has no "text"`);
  } catch (cause) {
    throw new DataError({
      where: path,
      what: "is no file of texts",
      got: (cause as Error).message,
      expected: 'lines of JSON, each with a "text"',
      cause,
    });
  }
}

async function pretrainingOf({ model, source }: SequenceSettings): Promise<readonly string[] | undefined> {
  if (source.kind === "files" && source.pretraining !== undefined) return textsIn(source.pretraining);
  return model === undefined ? heldOutTexts() : undefined;
}
