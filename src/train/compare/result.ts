/** What a cell of a comparison gave for one seed: a file of its own, written whole, so that the others do not depend on it. */
import { join } from "node:path";
import { readJson, replaceFile } from "../run/durable-file.ts";

/** Raised when what is measured, or how, becomes another thing. */
export const RESULT_FORMAT = 1;

export interface Evaluation {
  /** Nats per supervised token. */
  readonly loss: number;
  readonly perplexity: number;
}

/** What is known of a model without training: before, or after. */
export interface Evaluations {
  /** On the task's samples that are not trained on. */
  readonly task: Evaluation;
  /** On the text that stands for pretraining; null where there is none. */
  readonly pretraining: Evaluation | null;
}

export interface Measured extends Evaluations {
  readonly trainableParameters: number;
  readonly allParameters: number;
  /** Of the safetensors files that were saved. */
  readonly savedBytes: number;
  readonly steps: number;
  /** Of the data. */
  readonly tokens: number;
  /** Places that the model computed: tokens, and virtual tokens of each row. */
  readonly positions: number;
  /** Of every step, in nats per supervised token; a method's penalty is in it. */
  readonly losses: readonly number[];
  /** Mean of the last tenth of the steps. */
  readonly finalLoss: number;
  /** Tokens of the data a second, over the steps after the warm-up. */
  readonly tokensPerSecond: number;
  /** Largest resident memory of the process in the steps, mapped weights included. */
  readonly trainingPeakBytes: number;
  /** The same of the whole run: loading, steps, evaluations. */
  readonly peakBytes: number;
}

interface Job {
  readonly format: typeof RESULT_FORMAT;
  /** `CELL-STORAGE-sSEED`, or `base-STORAGE`. */
  readonly job: string;
  /** Hash of all that decides the result. */
  readonly identity: string;
  readonly seconds: number;
}

export interface Finished<T> extends Job {
  readonly status: "finished";
  readonly measured: T;
}

export interface Failed extends Job {
  readonly status: "failed";
  /** In words for a person. */
  readonly reason: string;
}

export type JobResult<T> = Finished<T> | Failed;

const FOLDER = "cells";

export function resultPath(dir: string, job: string): string {
  return join(dir, FOLDER, `${job}.json`);
}

/** Folder of what a job writes besides its result: adapter, log, configuration. */
export function jobFolder(dir: string, job: string): string {
  return join(dir, FOLDER, job);
}

export async function writeResult(dir: string, result: JobResult<Evaluations>): Promise<void> {
  await replaceFile(resultPath(dir, result.job), `${JSON.stringify(result, null, 1)}\n`);
}

/** Undefined: there is none, or it is of another kind, or damaged. */
export async function readResult<T extends Evaluations>(dir: string, job: string): Promise<JobResult<T> | undefined> {
  const found = (await readJson(resultPath(dir, job)).catch(() => undefined)) as
    (Partial<Omit<Finished<T>, "status">> & { readonly status?: string; readonly reason?: unknown }) | null | undefined;
  if (found === undefined || found === null || found.format !== RESULT_FORMAT || found.job !== job) return undefined;
  const isWhole = found.status === "failed" ? typeof found.reason === "string" : found.measured?.task !== undefined;
  return isWhole ? (found as JobResult<T>) : undefined;
}

export function evaluationOf(loss: number): Evaluation {
  return { loss, perplexity: Math.exp(loss) };
}
