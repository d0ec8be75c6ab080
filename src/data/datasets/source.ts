/** One data set: its files read, its records made samples. */
import { DataError, listed } from "../../errors.ts";
import { Random, streamOf } from "../../random.ts";
import { ColumnTable } from "./formats/column-table.ts";
import type { ClassSet } from "./classes.ts";
import { classification, type ClassColumns, detectClassification, labelIn } from "./formats/classification.ts";
import { detectFormat } from "./formats/detect.ts";
import { RowProblem, toRow } from "./formats/format.ts";
import type { Columns, Detected, Mapping } from "./formats/format.ts";
import { text } from "./formats/text.ts";
import { withUnused } from "./formats/unused.ts";
import { alpaca } from "./formats/alpaca.ts";
import { nearest } from "../../nearest.ts";
import { readerOf } from "./readers/index.ts";
import type { JsonRecord, NumberedRecord } from "./readers/reader.ts";
import type { ResolvedDataset } from "./resolve.ts";
import type { Row } from "./rows.ts";

/** Records looked at to tell the format. */
const FIRST_RECORDS = 32;

export type DataStage = "sft" | "pt" | "cls";

export interface SourceOptions {
  readonly stage: DataStage;
  /** Of stage cls: the columns, where they are not found by their names. */
  readonly classColumns?: ClassColumns;
  /** Only the first so many records. */
  readonly maxSamples?: number;
  readonly seed: number;
}

interface FileRecord extends NumberedRecord {
  readonly file: string;
}

export class DatasetSource {
  readonly dataset: ResolvedDataset;
  /** The format and why, after a look at the first records. */
  readonly mapping: Detected;
  readonly #options: SourceOptions;
  #inFiles: Promise<number> | undefined;

  private constructor(dataset: ResolvedDataset, mapping: Detected, options: SourceOptions) {
    this.dataset = dataset;
    this.mapping = mapping;
    this.#options = options;
  }

  /** @throws DataError when the data set is empty, its format is not known, or it does not fit the stage */
  static async open(dataset: ResolvedDataset, options: SourceOptions): Promise<DatasetSource> {
    const first: JsonRecord[] = [];
    for await (const { record } of inFiles(dataset.files)) {
      first.push(record);
      if (first.length === FIRST_RECORDS) break;
    }
    if (first.length === 0) {
      const hint = "is it the right file?";
      throw new DataError({ where: `${dataset.name} (${dataset.path})`, what: "the data set is empty", hint });
    }
    const mapping =
      options.stage === "cls"
        ? chooseClassMapping(dataset, first, options.classColumns)
        : chooseMapping(dataset, first, options.stage);
    return new DatasetSource(dataset, mapping, options);
  }

  /** The same, whose records have one of these classes. */
  withClasses(classes: ClassSet): DatasetSource {
    return new DatasetSource(this.dataset, { ...this.mapping, classes }, this.#options);
  }

  /** The labels of the records, each with its number. Reads all files. */
  async labels(): Promise<Map<string, number>> {
    const counts = new Map<string, number>();
    for await (const { record } of this.#records()) {
      try {
        const label = labelIn(record, this.mapping.columns);
        counts.set(label, (counts.get(label) ?? 0) + 1);
      } catch (error) {
        // A record without a label is counted when it becomes a row.
        if (!(error instanceof RowProblem)) throw error;
      }
    }
    return counts;
  }

  /** How many rows {@link rows} gives. */
  async count(): Promise<number> {
    const { maxSamples = Infinity } = this.#options;
    const { numSamples } = this.dataset;
    if (numSamples !== undefined) return Math.min(numSamples, maxSamples);
    return this.#countFiles(maxSamples);
  }

  /**
   * The rows in the order of the files.
   * @param mask [count] which rows to give: those where it is 1. Default: all
   * @param mayBeBad whether it is no error when every row is bad; a few rows to validate on may be, by chance
   * @throws DataError when a file cannot be read, or when every row is bad
   */
  async *rows(mask?: Uint8Array, mayBeBad = false): AsyncGenerator<Row, void, void> {
    const { name } = this.dataset;
    const last = mask?.lastIndexOf(1) ?? Infinity;
    if (last < 0) return;
    const reasons: string[] = [];
    let good = 0;
    let index = -1;
    for await (const { record, line, file } of this.#records()) {
      index++;
      if (mask?.[index] === 0) continue;
      const row = toRow(record, this.mapping, { dataset: name, file, line });
      if (row.kind !== "bad") good++;
      else if (reasons.length < 3) reasons.push(`${file}:${line}: ${row.reason}`);
      yield row;
      if (index >= last) break;
    }
    if (good === 0 && !mayBeBad) throw this.#allBad(reasons);
  }

  #allBad(reasons: readonly string[]): DataError {
    const { format, why } = this.mapping;
    return new DataError({
      where: `${this.dataset.name} (${this.dataset.path})`,
      what: "no record can be trained on",
      got: listed(reasons),
      expected: `${format.name}: ${format.shape} (${why})`,
      hint: "correct the file, or map its columns in dataset_info.json",
    });
  }

  /** The records that `num_samples` and `max_samples` leave. */
  async *#records(): AsyncGenerator<FileRecord, void, void> {
    const { maxSamples = Infinity } = this.#options;
    let left = maxSamples;
    if (left <= 0) return;
    for await (const record of this.#sampled()) {
      yield record;
      if (--left <= 0) return;
    }
  }

  /** `num_samples` records: all as often as they go into it, and a part drawn at random. In the order of the files. */
  async *#sampled(): AsyncGenerator<FileRecord, void, void> {
    const { files, numSamples, name } = this.dataset;
    if (numSamples === undefined) {
      yield* inFiles(files);
      return;
    }
    const total = await this.#countFiles(Infinity);
    for (let pass = 0; pass < Math.floor(numSamples / total); pass++) yield* inFiles(files);
    const random = new Random(this.#options.seed, streamOf(`num_samples ${name}`));
    const chosen = maskOf(total, random.permutation(total).subarray(0, numSamples % total));
    let index = 0;
    for await (const record of inFiles(files)) if (chosen[index++] === 1) yield record;
  }

  #countFiles(atMost: number): Promise<number> {
    this.#inFiles ??= (async () => {
      let count = 0;
      for (const file of this.dataset.files) {
        if (count >= atMost) break;
        count += await readerOf(file).count(file, atMost - count);
      }
      return count;
    })();
    return this.#inFiles;
  }
}

/** [length] 1 at the indices, 0 elsewhere. */
export function maskOf(length: number, indices: Iterable<number>): Uint8Array {
  const mask = new Uint8Array(length);
  for (const index of indices) mask[index] = 1;
  return mask;
}

async function* inFiles(files: readonly string[]): AsyncGenerator<FileRecord, void, void> {
  for (const file of files) {
    for await (const { record, line } of readerOf(file).records(file)) yield { record, line, file };
  }
}

/** The mapping of `dataset_info.json`, or the detected one; changed and refused as the stage needs it. */
function chooseMapping(dataset: ResolvedDataset, first: readonly JsonRecord[], stage: DataStage): Detected {
  const { name } = dataset;
  const given = dataset.mapping;
  if (given === undefined) {
    const detected = detectFormat(first, name);
    if (stage === "pt" && detected.format !== text) throw notPlainText(detected, name);
    return detected;
  }
  const table = new ColumnTable(first);
  const why = "as dataset_info.json has it";
  const isText = given.format === alpaca && given.columns.response === undefined;
  if (isText && stage === "sft") {
    throw new DataError({
      where: name,
      what: "dataset_info.json maps no column of answers, and stage sft trains on answers",
      got: `columns ${table.describe()}`,
      hint: "add columns.response, or set stage: pt to train on plain text",
    });
  }
  if (given.format === classification) {
    throw new DataError({
      where: name,
      what: `dataset_info.json maps texts and their classes, and stage ${stage} does not learn those`,
      hint: "stage: cls trains a classifier",
    });
  }
  if (!isText && stage === "pt") throw notPlainText({ ...given, why }, name);
  requireColumns(given, table, name);
  return withUnused({ ...given, format: isText ? text : given.format, why }, table);
}

/** The columns of `dataset_info.json`; else those of the configuration, or those that are found by their names. */
function chooseClassMapping(
  dataset: ResolvedDataset,
  first: readonly JsonRecord[],
  columns: ClassColumns = {},
): Detected {
  const { name, mapping } = dataset;
  if (mapping === undefined) return detectClassification(first, name, columns);
  if (mapping.format !== classification) {
    throw new DataError({
      where: name,
      what: "dataset_info.json maps no column of classes, and stage cls learns them",
      got: `formatting ${mapping.format.name}`,
      hint: '"columns": {"text": COLUMN, "label": COLUMN}, with "text_pair" where two texts are read together',
    });
  }
  const given = mapping.columns;
  if (given.text === undefined && given.label === undefined) return detectClassification(first, name, columns);
  const pair = given.text_pair === undefined ? [] : [given.text_pair];
  const text = given.text === undefined ? columns.text : [given.text, ...pair];
  const label = given.label ?? columns.label;
  const found = detectClassification(first, name, {
    ...(text === undefined ? {} : { text }),
    ...(label === undefined ? {} : { label }),
  });
  return { ...found, why: `as dataset_info.json has it: ${found.why}` };
}

function notPlainText({ format, why }: Detected, dataset: string): DataError {
  return new DataError({
    where: dataset,
    what: "stage pt trains on plain text, and this is a data set of questions and answers",
    got: `${format.name} (${why})`,
    expected: text.shape,
    hint: 'set stage: sft; or map one column as the text in dataset_info.json: "columns": {"prompt": COLUMN}',
  });
}

/** A column that no record has is a mistake in the mapping, unless it may be left out. */
function requireColumns({ columns }: Mapping, table: ColumnTable, dataset: string): void {
  const required: readonly (keyof Columns)[] = columns.messages === undefined ? ["prompt", "response"] : ["messages"];
  for (const key of required) {
    const column = columns[key];
    if (column === undefined || table.has(column)) continue;
    throw new DataError({
      where: `${dataset}: columns.${key}`,
      what: `no record has the column "${column}"`,
      got: `columns ${table.describe()}`,
      hint: `map it in dataset_info.json, for example to "${nearest(column, table.names)}"`,
    });
  }
}
