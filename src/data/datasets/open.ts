/** The data sets of a configuration, as streams of rows. */
import { ConfigError, DataError } from "../../errors.ts";
import { chooseClasses, type ClassSet, type ClassWishes } from "./classes.ts";
import type { ClassColumns } from "./formats/classification.ts";
import { Random, streamOf } from "../../random.ts";
import { DatasetInfo } from "./dataset-info.ts";
import { checkMix, mixed } from "./mix.ts";
import type { MixOptions, MixStrategy } from "./mix.ts";
import { resolveDataset } from "./resolve.ts";
import type { FetchHubDataset, ResolveContext, ResolvedDataset } from "./resolve.ts";
import type { DatasetStream } from "./rows.ts";
import { DatasetSource, maskOf } from "./source.ts";
import type { DataStage, SourceOptions } from "./source.ts";

export interface OpenDatasetsOptions {
  /** Names in `dataset_info.json`, or paths: a list, or text with commas between them. */
  readonly dataset: string | readonly string[];
  /** Data sets to validate on; `eval_dataset`. Not together with `valSize`. */
  readonly evalDataset?: string | readonly string[];
  /** Folder with `dataset_info.json`; `dataset_dir`. Default "data". "ONLINE": every name is one of the hub. */
  readonly datasetDir?: string;
  /**
   * `sft` trains on answers (and on plain text where that is all there is), `pt` on plain text only, `cls` on the classes of
   * texts. Default "sft".
   */
  readonly stage?: DataStage;
  /** Of stage cls: the classes, where something is known of them. Default: from `labels.json`, or from the data. */
  readonly classes?: ClassWishes;
  /** Of stage cls: the columns, where they are not found by their names. */
  readonly classColumns?: ClassColumns;
  /** Only the first so many records of each data set, also of those to validate on; `max_samples`. Default: all. */
  readonly maxSamples?: number;
  /** Share of all records (below 1) or their number (from 1) to validate on; `val_size`. Default 0. */
  readonly valSize?: number;
  /** `mix_strategy`. Default "concat". */
  readonly mixStrategy?: MixStrategy;
  /** `interleave_probs`: one for each data set, adding up to 1. Default: they take turns. */
  readonly interleaveProbs?: readonly number[];
  /** Decides what is validated on and how data sets are interleaved. Default 42. */
  readonly seed?: number;
  /** Brings data sets of the hub onto the disk. Without it they are refused. */
  readonly fetchHubDataset?: FetchHubDataset;
}

/** What was opened, for a report. */
export interface DatasetSummary {
  readonly name: string;
  /** File, folder or repository on the hub. */
  readonly path: string;
  /** Name of the format. */
  readonly format: string;
  /** How the format was found, which columns are not used, and which files of a folder are read. */
  readonly why: string;
  readonly part: "train" | "validation";
}

export interface OpenedDatasets {
  readonly train: DatasetStream;
  /** With `evalDataset`, `valSize`, or a folder that has a validation split of its own. Never mixed: one data set after the other. */
  readonly validation?: DatasetStream;
  readonly sources: readonly DatasetSummary[];
  /** Of stage cls. */
  readonly classes?: ClassSet;
  /** Every file that is read. */
  readonly files: readonly string[];
  /** All that decides which rows there are, besides what is in the files: equal texts mean equal rows. */
  readonly recipe: string;
}

/**
 * Finds the files and formats of data sets. Files are read when the streams are iterated; before that only their first
 * records, and with `valSize` once more to count. The same options and files give the same rows in the same order.
 *
 * What is validated on is drawn from all records alike, before data sets are mixed, so that a row that mixing repeats is
 * never in both parts.
 *
 * @throws ConfigError when an option cannot be honoured
 * @throws DataError when a data set is not found, empty, of an unknown format, or of data that cannot be trained on.
 *   Iterating throws one when a file breaks its format, or no record of a data set is a sample
 */
export async function openDatasets(options: OpenDatasetsOptions): Promise<OpenedDatasets> {
  const { datasetDir = "data", stage = "sft", maxSamples, valSize = 0, seed = 42 } = options;
  const names = namesOf(options.dataset);
  const evalNames = namesOf(options.evalDataset ?? []);
  const mix: MixOptions = {
    strategy: options.mixStrategy ?? "concat",
    ...(options.interleaveProbs !== undefined && { probabilities: options.interleaveProbs }),
    seed,
  };
  checkOptions(options, names, evalNames);
  checkMix(mix, names.length);
  const context: ResolveContext = {
    datasetDir,
    info: datasetDir === "ONLINE" ? undefined : await DatasetInfo.in(datasetDir),
    ...(options.fetchHubDataset !== undefined && { fetchHubDataset: options.fetchHubDataset }),
  };
  const sourceOptions: SourceOptions = {
    stage,
    seed,
    ...(maxSamples !== undefined && { maxSamples }),
    ...(options.classColumns !== undefined && { classColumns: options.classColumns }),
  };
  const open = (resolved: ResolvedDataset) => DatasetSource.open(resolved, sourceOptions);

  const resolved = await inOrder(names, (name) => resolveDataset(name, context));
  const opened = await inOrder(resolved, open);
  const classes = stage === "cls" ? await classesOf(opened, options.classes ?? {}) : undefined;
  const withClasses = (source: DatasetSource) => (classes === undefined ? source : source.withClasses(classes));
  const train = opened.map(withClasses);
  const ofClasses = classes === undefined ? {} : { classes };
  if (valSize > 0) {
    const masks = await validationMasks(train, valSize, seed);
    const parts = (value: 0 | 1) => train.map((source, i) => part(source, masks[i]!, value));
    return {
      train: new MixedStream(parts(0), mix),
      validation: new MixedStream(parts(1), { strategy: "concat", seed }),
      sources: train.map((source) => summary(source, "train")),
      ...ofClasses,
      ...contentOf(options, train, []),
    };
  }
  const held =
    evalNames.length > 0
      ? await inOrder(await inOrder(evalNames, (name) => resolveDataset(name, context)), open)
      : await inOrder(resolved.filter((found) => found.validation.length > 0).map(ownValidation), open);
  const validation = held.map(withClasses);
  return {
    ...ofClasses,
    train: new MixedStream(train.map(whole), mix),
    ...(validation.length > 0 && { validation: new MixedStream(validation.map(whole), { strategy: "concat", seed }) }),
    sources: [
      ...train.map((source) => summary(source, "train")),
      ...validation.map((source) => summary(source, "validation")),
    ],
    ...contentOf(options, train, validation),
  };
}

/** The classes of the data sets to train on. @throws as {@link chooseClasses} */
async function classesOf(sources: readonly DatasetSource[], wishes: ClassWishes): Promise<ClassSet> {
  const files = sources.flatMap(({ dataset }) => dataset.files);
  return chooseClasses(wishes, files, async () => {
    const all = new Map<string, number>();
    for (const source of sources) {
      for (const [label, count] of await source.labels()) all.set(label, (all.get(label) ?? 0) + count);
    }
    return all;
  });
}

function contentOf(
  options: OpenDatasetsOptions,
  ...parts: readonly (readonly DatasetSource[])[]
): Pick<OpenedDatasets, "files" | "recipe"> {
  const described = parts.map((sources) =>
    sources.map(({ dataset, mapping: { format, columns, tags, classes } }) => {
      const { name, files, numSamples } = dataset;
      const ofClasses = classes === undefined ? {} : { classes: classes.names };
      return {
        name,
        files,
        numSamples,
        format: format.name,
        columns,
        tags: { ...tags, kinds: [...tags.kinds] },
        ...ofClasses,
      };
    }),
  );
  const { stage, maxSamples, valSize, mixStrategy, interleaveProbs, seed } = options;
  const choices = { stage, maxSamples, valSize, mixStrategy, interleaveProbs, seed };
  return {
    files: [...new Set(parts.flat().flatMap(({ dataset }) => dataset.files))],
    recipe: JSON.stringify([choices, described]),
  };
}

function namesOf(given: string | readonly string[]): string[] {
  const list = typeof given === "string" ? given.split(",") : given;
  return list.map((name) => name.trim()).filter((name) => name !== "");
}

function checkOptions(options: OpenDatasetsOptions, names: readonly string[], evalNames: readonly string[]): void {
  const { valSize = 0, maxSamples, datasetDir = "" } = options;
  if (names.length === 0) {
    throw new ConfigError({
      where: "dataset",
      what: "no data set is named",
      hint: "dataset: NAME or the path of a file",
    });
  }
  if (datasetDir.startsWith("REMOTE:")) {
    const hint = "download that repository and set dataset_dir to its folder";
    throw new ConfigError({ where: "dataset_dir", what: "REMOTE: is not supported", got: datasetDir, hint });
  }
  if (!(valSize >= 0) || (valSize >= 1 && !Number.isInteger(valSize))) {
    const expected = "a share in [0, 1) or a whole number of records";
    throw new ConfigError({ where: "val_size", what: "not a size", got: valSize, expected });
  }
  if (valSize > 0 && evalNames.length > 0) {
    const hint = "leave one of them out";
    throw new ConfigError({ where: "val_size", what: "eval_dataset already says what to validate on", hint });
  }
  if (maxSamples !== undefined && !(Number.isInteger(maxSamples) && maxSamples > 0)) {
    throw new ConfigError({ where: "max_samples", what: "not a positive whole number", got: maxSamples });
  }
}

/** One after the other, so that the first problem is the first data set's. */
async function inOrder<A, B>(items: readonly A[], work: (item: A) => Promise<B>): Promise<B[]> {
  const done: B[] = [];
  for (const item of items) done.push(await work(item));
  return done;
}

function ownValidation(dataset: ResolvedDataset): ResolvedDataset {
  const { numSamples: _, ...rest } = dataset;
  return { ...rest, files: dataset.validation, validation: [], why: "the folder's own validation split" };
}

function summary({ dataset, mapping }: DatasetSource, partName: DatasetSummary["part"]): DatasetSummary {
  const why = [mapping.why, dataset.why].filter((reason) => reason !== "").join("; ");
  return { name: dataset.name, path: dataset.path, format: mapping.format.name, why, part: partName };
}

/**
 * For each data set, [count] 1 where a record is validated on. A share is rounded up, as scikit-learn and so Hugging Face do.
 * @throws ConfigError when nothing would be left to train on
 */
async function validationMasks(
  sources: readonly DatasetSource[],
  valSize: number,
  seed: number,
): Promise<Uint8Array[]> {
  const counts = await inOrder(sources, (source) => source.count());
  const total = counts.reduce((sum, count) => sum + count, 0);
  const size = valSize < 1 ? Math.ceil(total * valSize) : valSize;
  if (size >= total) {
    const got = `${valSize} of ${total} records`;
    throw new ConfigError({ where: "val_size", what: "nothing is left to train on", got, hint: "make it smaller" });
  }
  const drawn = new Random(seed, streamOf("val_size")).permutation(total).subarray(0, size);
  const all = maskOf(total, drawn);
  let start = 0;
  return counts.map((count) => all.subarray(start, (start += count)));
}

function whole(source: DatasetSource): DatasetStream {
  return { [Symbol.asyncIterator]: () => source.rows(), count: () => source.count() };
}

/** The rows whose mask is `value`. */
function part(source: DatasetSource, mask: Uint8Array, value: 0 | 1): DatasetStream {
  const chosen = value === 1 ? mask : mask.map((bit) => 1 - bit);
  const count = chosen.reduce((sum, bit) => sum + bit, 0);
  return { [Symbol.asyncIterator]: () => source.rows(chosen, value === 1), count: () => Promise.resolve(count) };
}

class MixedStream implements DatasetStream {
  readonly #parts: readonly DatasetStream[];
  readonly #mix: MixOptions;
  #count: Promise<number> | undefined;

  constructor(parts: readonly DatasetStream[], mix: MixOptions) {
    this.#parts = parts;
    this.#mix = mix;
  }

  [Symbol.asyncIterator]() {
    return mixed(this.#parts, this.#mix);
  }

  count(): Promise<number> {
    this.#count ??= this.#countRows();
    return this.#count;
  }

  async #countRows(): Promise<number> {
    const counts = await inOrder(this.#parts, (stream) => stream.count());
    if (this.#mix.strategy === "concat") return counts.reduce((sum, count) => sum + count, 0);
    // Which rows are taken depends on the lengths alone, so the same mixing of empty rows tells how many there are.
    let total = 0;
    for await (const _ of mixed(counts.map(nothings), this.#mix)) total++;
    if (total === 0) throw new DataError({ where: "mix_strategy", what: "there are no rows" });
    return total;
  }
}

function nothings(count: number): AsyncIterable<undefined> {
  return {
    async *[Symbol.asyncIterator]() {
      for (let i = 0; i < count; i++) yield undefined;
    },
  };
}
