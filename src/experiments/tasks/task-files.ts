/** Classification tasks from files: JSON, JSON lines, CSV, TSV or Parquet, one record for each text. */
import { join } from "node:path";
import { classOf, labelText, LABELS_FILE, namedClasses, readLabels } from "../../data/datasets/classes.ts";
import { readerOf } from "../../data/datasets/readers/index.ts";
import { field, type JsonRecord } from "../../data/datasets/readers/reader.ts";
import { DataError } from "../../errors.ts";
import { Random, streamOf } from "../../random.ts";
import type { Example } from "./task.ts";

/** Plain data: part of a job's settings. */
export interface TaskFiles {
  readonly name: string;
  /** Path of the training texts, below a common folder. */
  readonly train: string;
  /** Path of the test texts. Default: a part of the training file, which is not trained on. */
  readonly test?: string;
  /** Share of the training file that is for tests where `test` is not given. Default: 0.3. */
  readonly testShare?: number;
  /** Name of a column, or a text with names in braces: `{context} {question}`. */
  readonly text: string;
  /** The same for a second text, which is read after the first. */
  readonly pair?: string;
  /** Column of the class. Default: `label`. */
  readonly label?: string;
  /** Names of the classes in their order. Default: those of `labels.json` beside the file; or those in the file, sorted. */
  readonly labels?: readonly string[];
}

export interface LoadedTask {
  readonly name: string;
  readonly about: string;
  readonly labels: readonly string[];
  readonly train: readonly Example[];
  readonly test: readonly Example[];
}

/** In MNLI: those who were asked did not agree. */
const UNKNOWN = "-";
const TEST_SHARE = 0.3;
/** The same test texts whatever the seed. */
const TEST_SEED = 1_000_003;

/**
 * @param root folder that the paths are below
 * @param seed draws which texts are trained on, where there are more than are wanted
 * @throws DataError if a file cannot be read, has no such columns, or a label that is none of the classes; and where no text is
 *   left to train on or to test with
 */
export async function loadTaskFiles(
  root: string,
  task: TaskFiles,
  wanted: { readonly seed: number; readonly train: number; readonly test: number },
): Promise<LoadedTask> {
  const { name, testShare = TEST_SHARE } = task;
  const path = join(root, task.train);
  const records = await recordsOf(path);
  const labels = task.labels ?? (await readLabels(join(path, "..", LABELS_FILE))) ?? labelsIn(records, task);
  const examplesOf = (found: readonly JsonRecord[], where: string) =>
    unique(found.flatMap((record, i) => exampleOf(record, task, labels, `${where}, record ${i + 1}`) ?? []));
  const all = examplesOf(records, path);
  let [train, test] = [all, all];
  if (task.test === undefined) {
    const isTest = ({ text, pair = "" }: Example) => share(`${name}/${text}/${pair}`) < testShare;
    [train, test] = [all.filter((one) => !isTest(one)), all.filter(isTest)];
  } else {
    const testPath = join(root, task.test);
    const known = new Set(all.map(keyOf));
    test = examplesOf(await recordsOf(testPath), testPath).filter((one) => !known.has(keyOf(one)));
  }
  if (train.length === 0 || test.length === 0) {
    throw new DataError({
      where: `task ${name}`,
      what: train.length === 0 ? "there is no text to train on" : "there is no text to test with",
      got: `${records.length} records in ${path}, ${all.length} of them different and with a class`,
      hint: "texts that are trained on are not tested with",
    });
  }
  return {
    name,
    about: `${labels.length} classes: ${namedClasses(labels)}`,
    labels,
    train: sample(train, wanted.train, wanted.seed, `${name}/train`),
    test: sample(test, wanted.test, TEST_SEED, `${name}/test`),
  };
}

async function recordsOf(path: string): Promise<JsonRecord[]> {
  const records: JsonRecord[] = [];
  for await (const { record } of readerOf(path).records(path)) records.push(record);
  return records;
}

/** @returns undefined for a text whose class nobody knows: "-" in MNLI, -1 on the hub */
function exampleOf(record: JsonRecord, task: TaskFiles, labels: readonly string[], where: string): Example | undefined {
  const { label: column = "label", text, pair } = task;
  const given = field(record, column);
  if (given === UNKNOWN || Number(given) < 0) return undefined;
  const value = labelText(given);
  const label = value === undefined ? undefined : classOf(value, { names: labels });
  if (label === undefined) {
    throw new DataError({
      where,
      what: `column "${column}" is none of the classes`,
      got: value ?? "nothing",
      expected: namedClasses(labels),
    });
  }
  const second = pair === undefined ? undefined : filled(pair, record, where);
  return { text: filled(text, record, where), ...(second === undefined ? {} : { pair: second }), label };
}

/** @throws DataError if a column is missing */
function filled(template: string, record: JsonRecord, where: string): string {
  const valueOf = (column: string) => {
    const value = field(record, column);
    if (typeof value === "string" || typeof value === "number") return String(value);
    throw new DataError({
      where,
      what: `there is no text in column "${column}"`,
      got: Object.keys(record).join(", "),
    });
  };
  const text = template.includes("{")
    ? template.replaceAll(/\{([^}]+)\}/g, (_, column: string) => valueOf(column))
    : valueOf(template);
  return text.trim();
}

function labelsIn(records: readonly JsonRecord[], { label = "label" }: TaskFiles): string[] {
  const found = new Set(records.flatMap((record) => labelText(field(record, label)) ?? []));
  found.delete(UNKNOWN);
  return [...found].toSorted((a, b) => (a < b ? -1 : 1));
}

function unique(examples: readonly Example[]): Example[] {
  return [...new Map(examples.map((one) => [keyOf(one), one])).values()];
}

function keyOf({ text, pair = "" }: Example): string {
  return `${text}\n${pair}`;
}

/** A number in [0, 1) that depends on the text alone. */
function share(text: string): number {
  return streamOf(text) / 2 ** 31;
}

function sample(examples: readonly Example[], count: number, seed: number, name: string): Example[] {
  const order = new Random(seed, streamOf(name)).permutation(examples.length);
  return Array.from(order.subarray(0, count), (i) => examples[i]!);
}
