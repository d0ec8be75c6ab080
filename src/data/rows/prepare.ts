/** From data sets to rows: tokenised, packed, kept in memory or in a cache on disk, and reported on. */
import { stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { cacheDirectory } from "../cache-directory.ts";
import type { OpenedDatasets } from "../datasets/open.ts";
import type { DatasetStream, Row as DataRow } from "../datasets/rows.ts";
import { ReportBuilder } from "../report/builder.ts";
import type { DataReport } from "../report/report.ts";
import type { RowOrder, RowSource } from "../row-source.ts";
import type { ChatTemplate } from "../text/templates.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { cacheKey } from "./cache-key.ts";
import { type BatchEncoder, encodeInOrder, encoderHere, encoderInThreads } from "./encoder.ts";
import type { Coder } from "./example.ts";
import { blocks, knapsack, packed, type Packer, single } from "./pack.ts";
import { encodeSettings, type RowSettings } from "./settings.ts";
import { countRuns, type StoredRow, storedRows } from "./stored-row.ts";
import { streamRows } from "./stream-rows.ts";
import { openTokenCache, type TokenCache, TokenCacheWriter } from "./token-cache.ts";

export interface PrepareProgress {
  readonly part: Part;
  /** `verifying`: reading a token cache that is there. */
  readonly activity: "tokenising" | "verifying";
  /** Records, or bytes when verifying. */
  readonly done: number;
  readonly total: number;
}

export interface PrepareOptions {
  readonly onProgress?: (progress: PrepareProgress) => void;
  /** Called with a sentence when something is not as it should be but can go on: a cache was damaged. */
  readonly onNotice?: (notice: string) => void;
  readonly signal?: AbortSignal;
  /** Folder of token caches where the settings name none. Default: `tokens` in the folder of all caches. */
  readonly cacheDir?: string;
  /** Today, for templates that write the date. Default: the clock. */
  readonly now?: Date;
}

/** Rows, and what became of the samples that they are made of. */
export interface PreparedPart {
  readonly rows: RowSource;
  readonly report: DataReport;
}

export interface PreparedRows {
  readonly train: PreparedPart;
  readonly validation?: PreparedPart;
}

type Part = "train" | "validation";

/** Below this, a set is made again faster than a cache of it is found and verified, and fits into any memory. */
const SMALL = { records: 2000, bytes: 64 * 2 ** 20 };
/** From so many records on, threads are worth the time that they take to read the tokenizer. */
const THREADS_FROM = 500;
/** Records of a stream that the report is about. */
const LOOKED_AT = 1000;

/**
 * Turns samples into rows. The rows are the same in the same order, however many threads make them. Small sets stay in
 * memory; others are written to a token cache and read from it row by row, and found there the next time. Rows to validate
 * on are never shuffled, and are never streamed.
 *
 * Records that are no samples, and samples that are left out or cut, are counted in the report and nowhere else:
 * `checkReport` refuses data that nothing can be learnt from.
 *
 * @param template needed where there are conversations
 * @throws DataError for a sample that is too long with `over_length: error`, for a file that breaks its format, and when the
 *   cache cannot be written; ConfigError for conversations without `template`; the signal's reason
 */
export async function prepareRows(
  opened: OpenedDatasets,
  tokenizer: Tokenizer,
  template: ChatTemplate | undefined,
  settings: RowSettings,
  options: PrepareOptions = {},
): Promise<PreparedRows> {
  const { stage, packing } = settings;
  const coder: Coder = {
    tokenizer,
    template,
    settings: encodeSettings(settings, options.now ?? new Date()),
    whole: stage === "pt" && packing,
  };
  const preparation = new Preparation(opened, coder, settings, options);
  try {
    const train = settings.streaming ? await preparation.stream() : await preparation.part("train", opened.train);
    const { validation } = opened;
    if (validation === undefined) return { train };
    return { train, validation: await preparation.part("validation", validation) };
  } finally {
    await preparation.close();
  }
}

class Preparation {
  readonly #opened: OpenedDatasets;
  readonly #coder: Coder;
  readonly #settings: RowSettings;
  readonly #options: PrepareOptions;
  #threads: BatchEncoder | undefined;

  constructor(opened: OpenedDatasets, coder: Coder, settings: RowSettings, options: PrepareOptions) {
    this.#opened = opened;
    this.#coder = coder;
    this.#settings = settings;
    this.#options = options;
  }

  /** Rows without a length, and a report on the first records. */
  async stream(): Promise<PreparedPart> {
    const { train } = this.#opened;
    const report = this.#newReport("train");
    const rows = firstOf(train, LOOKED_AT);
    for await (const row of this.#rows(rows, encoderHere(this.#coder), report)) void row;
    return {
      rows: streamRows(train, this.#coder, () => this.#newPacker(), this.#settings),
      report: report.finish(LOOKED_AT),
    };
  }

  /** All rows of a part, from the cache where it has them. */
  async part(part: Part, stream: DatasetStream): Promise<PreparedPart> {
    const { tokenizedPath, overwriteCache } = this.#settings;
    const isSmall = (await this.#bytes()) < SMALL.bytes && (await stream.count()) < SMALL.records;
    if (isSmall && tokenizedPath === null) return this.#inMemory(part, stream);
    const root = tokenizedPath ?? this.#options.cacheDir ?? join(cacheDirectory(), "tokens");
    const key = await cacheKey(this.#opened, part, this.#coder, this.#settings);
    const dir = join(root, key);
    const known = overwriteCache ? undefined : await this.#known(part, dir, key);
    if (known !== undefined) return known;
    await this.#write(part, stream, dir, key);
    const made = await this.#known(part, dir, key);
    if (made === undefined) throw new Error(`the token cache in ${dir} is not what was just written`);
    return made;
  }

  async close(): Promise<void> {
    await this.#threads?.close();
  }

  async #inMemory(part: Part, stream: DatasetStream): Promise<PreparedPart> {
    const report = this.#newReport(part);
    const rows: StoredRow[] = [];
    const total = await stream.count();
    const samples = this.#counted(part, stream, total);
    for await (const row of this.#rows(samples, this.#encoder(total), report)) rows.push(row);
    return { rows: storedRows(rows, this.#order(part)), report: report.finish() };
  }

  async #known(part: Part, dir: string, key: string): Promise<TokenCache | undefined> {
    const { onProgress, onNotice, signal } = this.#options;
    const found = await openTokenCache(dir, key, {
      order: this.#order(part),
      onBytes: (done, total) => onProgress?.({ part, activity: "verifying", done, total }),
      ...(signal === undefined ? {} : { signal }),
    });
    if (found === undefined || !("damage" in found)) return found;
    onNotice?.(`the token cache in ${dir} is damaged (${found.damage}): it is made again`);
    return undefined;
  }

  async #write(part: Part, stream: DatasetStream, dir: string, key: string): Promise<void> {
    const total = await stream.count();
    const report = this.#newReport(part);
    const writer = await TokenCacheWriter.create(dir);
    try {
      const samples = this.#counted(part, stream, total);
      for await (const row of this.#rows(samples, this.#encoder(total), report)) await writer.add(row);
      await writer.finish(key, report.finish());
    } catch (error) {
      await writer.abandon();
      throw error;
    }
  }

  async *#rows(
    samples: AsyncIterable<DataRow>,
    encoder: BatchEncoder,
    report: ReportBuilder,
  ): AsyncGenerator<StoredRow, void, void> {
    const packer = this.#newPacker();
    const reported = (rows: readonly StoredRow[]): readonly StoredRow[] => {
      for (const { inputIds, trained } of rows) report.row(inputIds.length, countRuns(trained));
      return rows;
    };
    for await (const outcome of encodeInOrder(samples, encoder, this.#options.signal)) {
      if (outcome.kind === "bad") {
        report.bad(outcome.row);
        continue;
      }
      const { sample, result } = outcome;
      if ("dropped" in result) {
        report.dropped(sample, result.dropped);
        continue;
      }
      report.kept(sample, result);
      yield* reported(packer.add(packed(result, sample.source)));
    }
    yield* reported(packer.end());
  }

  async *#counted(part: Part, samples: AsyncIterable<DataRow>, total: number): AsyncGenerator<DataRow, void, void> {
    const { onProgress } = this.#options;
    let done = 0;
    for await (const row of samples) {
      yield row;
      onProgress?.({ part, activity: "tokenising", done: ++done, total });
    }
  }

  #encoder(total: number): BatchEncoder {
    const wanted = this.#settings.preprocessingNumWorkers ?? availableParallelism();
    if (wanted < 2 || total < THREADS_FROM) return encoderHere(this.#coder);
    this.#threads ??= encoderInThreads(this.#coder, wanted);
    return this.#threads;
  }

  #newPacker(): Packer {
    const { packing, stage, cutoffLen } = this.#settings;
    if (!packing) return single();
    return stage === "pt" ? blocks(cutoffLen) : knapsack(cutoffLen);
  }

  #newReport(part: Part): ReportBuilder {
    const { stage, cutoffLen, packing } = this.#settings;
    const { tokenizer, template } = this.#coder;
    const own = this.#opened.sources.filter((source) => source.part === part);
    // With val_size, what is validated on is from the data sets to train on.
    const datasets = own.length > 0 ? own : this.#opened.sources;
    const { classes } = this.#opened;
    const ofClasses = classes === undefined ? {} : { classes };
    return new ReportBuilder({ part, stage, datasets, tokenizer, template, cutoffLen, packed: packing, ...ofClasses });
  }

  #order(part: Part): RowOrder {
    const { shuffle, dataSeed, groupByLength, perDeviceTrainBatchSize, gradientAccumulationSteps } = this.#settings;
    if (part !== "train" || !shuffle) return { seed: undefined };
    const groupOf = perDeviceTrainBatchSize * gradientAccumulationSteps;
    return { seed: dataSeed, ...(groupByLength ? { groupOf } : {}) };
  }

  async #bytes(): Promise<number> {
    let bytes = 0;
    // What cannot be read is said by who reads it.
    for (const file of this.#opened.files) bytes += (await stat(file).catch(() => undefined))?.size ?? 0;
    return bytes;
  }
}

async function* firstOf<T>(items: AsyncIterable<T>, count: number): AsyncGenerator<T, void, void> {
  let left = count;
  for await (const item of items) {
    yield item;
    if (--left <= 0) return;
  }
}
