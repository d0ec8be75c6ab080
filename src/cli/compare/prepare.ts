/** Everything about a comparison that can be known before it runs: data, budget, what each cell trains, and identities. */
import { join } from "node:path";
import { ENTRIES } from "../../config/keys.ts";
import type { RunConfig } from "../../config/read.ts";
import type { Problem } from "../../errors.ts";
import { checkReport } from "../../data/report/check.ts";
import { prepareRows } from "../../data/rows/prepare.ts";
import type { Tokenizer } from "../../data/text/tokenizer.ts";
import { resolveFolder } from "../../hub/resolve.ts";
import { readModel } from "../../lm/read-model.ts";
import { modelFiles } from "../../lm/file-identity.ts";
import { budgetOf } from "../../train/compare/budget.ts";
import { cellsError, checkCell } from "../../train/compare/check-cell.ts";
import { type Budget, type Cell, type Comparison, splitsBySeed, withSeed } from "../../train/compare/comparison.ts";
import { codeIdentity, contentIdentity, dataIdentity, identityOfJob } from "../../train/compare/identity.ts";
import { configuredTemplate, openConfiguredDatasets, openTokenizer } from "../data/open-data.ts";
import { PrepareView } from "../data/prepare-view.ts";
import { DownloadView } from "../download-view.ts";
import type { Output } from "../terminal/output.ts";

/** One process to run: a cell with a seed, or the base in a storage. */
export interface PlannedJob {
  readonly job: string;
  readonly kind: "base" | "cell";
  /** Of a base: one of those with its storage. */
  readonly cell: Cell;
  readonly seed: number;
  readonly config: RunConfig;
  readonly budget: Budget;
  readonly identity: string;
}

export interface PreparedComparison {
  /** In the order in which they run: bases, then all cells of a seed, so that there is a whole table early. */
  readonly jobs: readonly PlannedJob[];
  readonly budgets: ReadonlyMap<number, Budget>;
  /** By the ids of cells. */
  readonly trainable: ReadonlyMap<string, number | undefined>;
}

/** Name of the job that evaluates the base for a cell. */
export function baseJob({ storage, config }: Cell, seeds: readonly number[], seed: number): string {
  return splitsBySeed(config) && seeds.length > 1 ? `base-${storage}-s${seed}` : `base-${storage}`;
}

export function cellJob({ id }: Cell, seed: number): string {
  return `${id}-s${seed}`;
}

/**
 * @throws ConfigError with what is wrong with any of the cells; and what is wrong with model or data
 */
export async function prepareComparison(
  comparison: Comparison,
  outDir: string,
  { log, signal }: { readonly log: Output; readonly signal?: AbortSignal },
): Promise<PreparedComparison> {
  const { cells, seeds, tokenBudget, forgetting, path } = comparison;
  const { config: base } = cells[0]!;
  const [firstSeed] = seeds as readonly [number, ...number[]];
  const downloads = new DownloadView(log);
  const hooks = { onProgress: downloads.show, onNotice: downloads.note, ...(signal === undefined ? {} : { signal }) };
  const tokenizer = await openTokenizer(base, hooks);
  const budgets = new Map<number, Budget>();
  const dataHashes: string[] = [];
  for (const seed of seeds) {
    const config = withSeed(base, firstSeed, seed);
    const { train, files } = await prepared(config, tokenizer, log, signal);
    if (seed === firstSeed) dataHashes.push(await dataIdentity({ files }));
    budgets.set(seed, await budgetOf(train.rows, config, tokenBudget));
  }
  if (forgetting !== undefined) {
    const { files } = await prepared(forgetting, tokenizer, log, signal);
    dataHashes.push(await dataIdentity({ files }));
  }
  const { dir } = await resolveFolder(base.modelNameOrPath, {
    ...hooks,
    kind: "model",
    revision: base.modelRevision,
    ...(base.cacheDir === null ? {} : { cacheDir: base.cacheDir }),
    ...(base.offline ? { offline: true } : {}),
    ...(base.hfHubToken === null ? {} : { token: base.hfHubToken }),
  });
  downloads.stop();
  const model = await readModel(dir, { random: base.trainFromScratch });
  const trainable = new Map<string, number | undefined>();
  const problems: { cell: string; problem: Problem }[] = [];
  for (const cell of cells) {
    const check = checkCell(cell.config, model, budgets.get(firstSeed)!.steps);
    trainable.set(cell.id, check.trainableParameters);
    problems.push(...check.problems.map((problem) => ({ cell: cell.name, problem })));
  }
  if (problems.length > 0) throw cellsError(path, problems);

  const weights = await modelFiles(dir).catch(() => []);
  const files = [...weights.map((file) => file.path), ...tokenizer.files.map((name) => join(tokenizer.dir, name))];
  const hashes = [await contentIdentity(files), ...dataHashes];
  const code = await codeIdentity();
  const planned = (kind: PlannedJob["kind"], job: string, cell: Cell, seed: number): PlannedJob => {
    const budget = budgets.get(seed)!;
    const seeded = withSeed(cell.config, firstSeed, seed);
    const outputDir = join(outDir, "cells", job, "run");
    const config = { ...seeded, outputDir, ...(tokenBudget === undefined ? {} : { maxSteps: budget.steps }) };
    const more = kind === "base" ? [kind] : [kind, budget];
    // What is trained, and how, is nothing to the base.
    const decisive = kind === "base" ? baseOnly(config) : config;
    return {
      job,
      kind,
      cell,
      seed,
      config,
      budget,
      identity: identityOfJob({ config: decisive, forgetting, hashes, code, more }),
    };
  };
  const bases = new Map<string, PlannedJob>();
  for (const seed of seeds) {
    for (const cell of cells) {
      const job = baseJob(cell, seeds, seed);
      if (!bases.has(job)) bases.set(job, planned("base", job, cell, seed));
    }
  }
  const runs = seeds.flatMap((seed) => cells.map((cell) => planned("cell", cellJob(cell, seed), cell, seed)));
  return { jobs: [...bases.values(), ...runs], budgets, trainable };
}

async function prepared(config: RunConfig, tokenizer: Tokenizer, log: Output, signal: AbortSignal | undefined) {
  const stop = signal === undefined ? {} : { signal };
  const opened = await openConfiguredDatasets(config, stop);
  const template = configuredTemplate(config, tokenizer, opened);
  const view = new PrepareView(log);
  try {
    const rows = await prepareRows(opened, tokenizer, template, config, {
      onNotice: view.note,
      onProgress: view.show,
      ...stop,
    });
    for (const part of [rows.train, ...(rows.validation === undefined ? [] : [rows.validation])]) {
      checkReport(part.report);
    }
    return { train: rows.train, files: opened.files };
  } finally {
    view.stop();
  }
}

/** The configuration with defaults for all keys that an evaluation of the base does not depend on. */
function baseOnly(config: RunConfig): RunConfig {
  const matters = new Set(["stage", "per_device_eval_batch_size", ...(splitsBySeed(config) ? ["seed"] : [])]);
  const aside = ENTRIES.filter(({ section, key }) => /^(method|train)$/.test(section) && key.status === "honoured");
  const defaults = aside.filter(({ name }) => !matters.has(name)).map(({ camel, key }) => [camel, key.byDefault]);
  return { ...config, ...(Object.fromEntries(defaults) as Partial<RunConfig>) };
}
