/** Configurations of runs: LLaMA-Factory's keys in files, transformers' `TrainingArguments` in code. */
export type { Settings } from "./derive.ts";
export type { TrainingArguments } from "./keys.ts";
export { parseRunConfig, type ReadConfig, readRunConfig, type RunConfig, validateArgs } from "./read.ts";
export { scheduleOf, stepsOf } from "./schedule.ts";
export type { Settled, Verb } from "./settings.ts";
export { formatRunConfig, writeRunConfig } from "./write.ts";
