/**
 * A comparison of tuning methods: cells that share a base, data, a budget of tokens and seeds, and differ in the method, its
 * settings, and the storage of the frozen weights.
 */
import type { RunConfig } from "../../config/read.ts";

export interface Cell {
  /** `NAME-STORAGE`: names its files. */
  readonly id: string;
  /** As in the file. */
  readonly name: string;
  readonly storage: string;
  /** With the first of the seeds. */
  readonly config: RunConfig;
}

export interface Comparison {
  /** The file. */
  readonly path: string;
  readonly cells: readonly Cell[];
  readonly seeds: readonly number[];
  /** Tokens of the data that every cell is trained on: the last step begins below. Undefined: the base's steps or epochs. */
  readonly tokenBudget: number | undefined;
  /** Data that stands for what the base was pretrained on; its loss before and after is what was forgotten. */
  readonly forgetting: RunConfig | undefined;
  /** Keys that do nothing, cells that were left out: a line each. */
  readonly notes: readonly string[];
}

/** What a run does. The same for every cell of a seed. */
export interface Budget {
  readonly steps: number;
  /** Tokens of the data, padding and virtual tokens not counted. */
  readonly tokens: number;
  readonly rows: number;
}

/** The configuration of a cell for one of the seeds. A `data_seed` of the base stays. */
export function withSeed(config: RunConfig, first: number, seed: number): RunConfig {
  return { ...config, seed, dataSeed: config.dataSeed === first ? seed : config.dataSeed };
}

/** Whether different seeds are evaluated on different samples. */
export function splitsBySeed({ valSize }: Pick<RunConfig, "valSize">): boolean {
  return valSize > 0;
}
