/** The work of one job of a comparison: a run and its measurements, or the base as it is. It has a process of its own. */
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { RunConfig } from "../../config/read.ts";
import { trainsAdapter } from "../../config/methods.ts";
import { DataError } from "../../errors.ts";
import { type PreparedPart, prepareRows } from "../../data/rows/prepare.ts";
import type { Tokenizer } from "../../data/text/tokenizer.ts";
import { virtualTokens } from "../../lm/adapted-sequence.ts";
import type { Trainable } from "../../lm/trainable.ts";
import { peakBytes, resetPeak } from "../../runtime/node/process-memory-node.ts";
import type { Budget } from "../../train/compare/comparison.ts";
import { type Evaluation, evaluationOf, type Evaluations, type Measured } from "../../train/compare/result.ts";
import { evaluateRows } from "../../train/evaluate-rows.ts";
import type { TrainerCallback } from "../../train/run/events.ts";
import { isEvalRow } from "../../train/run/log-rows.ts";
import { configuredTemplate, openConfiguredDatasets, openTokenizer } from "../data/open-data.ts";
import type { Output } from "../terminal/output.ts";
import { loadConfiguredModel } from "../train/load-model.ts";
import { runTrain } from "../train/run-train.ts";

/** Steps that are not timed: graphs are still warming up. No more than a third of a short run. */
const WARM_UP = 3;
/** Share of the steps whose mean loss is the final one. */
const FINAL_SHARE = 0.1;

export interface JobRequest {
  readonly config: RunConfig;
  /** `training_args.yaml` of the run: what is run. */
  readonly configPath: string;
  readonly forgetting: RunConfig | undefined;
  readonly budget: Budget;
}

export interface JobStep {
  /** Steps that were taken. */
  readonly step: number;
  readonly loss: number;
  readonly tokensPerSecond: number;
}

/** The base without any training. */
export async function measureBase({ config, forgetting }: JobRequest): Promise<Evaluations> {
  const tokenizer = await openTokenizer(config);
  const { validation } = await preparedRows(config, tokenizer);
  const model = await loadConfiguredModel(config);
  try {
    const base = { language: model.language, adapters: [] };
    if (validation === undefined) throw new DataError({ where: "base", what: "there is no data to evaluate on" });
    return {
      task: await evaluated(base, validation, config, tokenizer),
      pretraining: await forgotten(base, forgetting, tokenizer),
    };
  } finally {
    await model.dispose();
  }
}

/** Runs a cell. @param onStep told of every step */
export async function measureCell(
  { config, configPath, forgetting, budget }: JobRequest,
  log: Output,
  onStep: (step: JobStep) => void,
): Promise<Measured> {
  const watch = new Watch(onStep);
  let after: Evaluations | undefined;
  let positions = 0;
  const overrides = config.hfHubToken === null ? [] : [`hf_hub_token=${JSON.stringify(config.hfHubToken)}`];
  await runTrain(configPath, overrides, {
    log,
    callbacks: [watch],
    async whenTrained({ trainable, tokenizer, history }) {
      const row = history.findLast((one) => isEvalRow(one));
      if (row === undefined) throw new DataError({ where: "base", what: "nothing was evaluated" });
      after = {
        task: evaluationOf(row["eval_loss"]),
        pretraining: await forgotten(trainable, forgetting, tokenizer),
      };
      positions = watch.tokens + virtualTokens(trainable.adapters).count * budget.rows;
    },
  });
  const { losses, ...counts } = watch.summary();
  const last = losses.slice(-Math.max(1, Math.round(FINAL_SHARE * losses.length)));
  const savedBytes = await savedIn(config.outputDir, !trainsAdapter(config.finetuningType));
  return {
    ...after!,
    ...counts,
    savedBytes,
    positions,
    losses,
    finalLoss: last.reduce((sum, loss) => sum + loss, 0) / last.length,
    peakBytes: Math.max(counts.trainingPeakBytes, watch.peakBefore, await peakBytes()),
  };
}

class Watch implements TrainerCallback {
  readonly #onStep: (step: JobStep) => void;
  readonly #losses: number[] = [];
  readonly #times: { at: number; tokens: number }[] = [];
  #trainable = 0;
  #all = 0;
  #trainingPeak = 0;
  #total = 0;
  /** Peak of loading. */
  peakBefore = 0;
  tokens = 0;

  constructor(onStep: (step: JobStep) => void) {
    this.#onStep = onStep;
  }

  async onStart({
    trainableParameters,
    allParameters,
    totalSteps,
  }: Parameters<Required<TrainerCallback>["onStart"]>[0]) {
    this.#trainable = trainableParameters;
    this.#all = allParameters;
    this.#total = totalSteps;
    this.peakBefore = await peakBytes();
    await resetPeak();
    this.#times.push({ at: performance.now(), tokens: 0 });
  }

  async onStep({ step, loss, tokensSeen }: Parameters<Required<TrainerCallback>["onStep"]>[0]) {
    this.#losses.push(loss);
    this.#times.push({ at: performance.now(), tokens: tokensSeen });
    this.tokens = tokensSeen;
    // What follows the last step is an evaluation, whose memory is not that of training.
    if (step === this.#total) this.#trainingPeak = await peakBytes();
    this.#onStep({ step, loss, tokensPerSecond: this.#rate() });
  }

  summary(): Omit<Measured, keyof Evaluations | "savedBytes" | "positions" | "finalLoss" | "peakBytes"> {
    return {
      trainableParameters: this.#trainable,
      allParameters: this.#all,
      steps: this.#losses.length,
      tokens: this.tokens,
      losses: this.#losses.map((loss) => Number(loss.toPrecision(7))),
      tokensPerSecond: this.#rate(),
      trainingPeakBytes: this.#trainingPeak,
    };
  }

  /** Tokens a second since the end of the warm-up. */
  #rate(): number {
    const last = this.#times.at(-1)!;
    const from = this.#times[Math.min(WARM_UP, Math.floor((this.#times.length - 1) / 3))]!;
    return last.at === from.at ? 0 : (1000 * (last.tokens - from.tokens)) / (last.at - from.at);
  }
}

async function preparedRows(
  config: RunConfig,
  tokenizer: Tokenizer,
): Promise<{ readonly train: PreparedPart; readonly validation?: PreparedPart }> {
  const opened = await openConfiguredDatasets(config);
  return prepareRows(opened, tokenizer, configuredTemplate(config, tokenizer, opened), config);
}

async function forgotten(
  model: Pick<Trainable, "language" | "adapters">,
  forgetting: RunConfig | undefined,
  tokenizer: Tokenizer,
): Promise<Evaluation | null> {
  if (forgetting === undefined) return null;
  return evaluated(model, (await preparedRows(forgetting, tokenizer)).train, forgetting, tokenizer);
}

async function evaluated(
  model: Pick<Trainable, "language" | "adapters">,
  { rows }: PreparedPart,
  { perDeviceEvalBatchSize }: RunConfig,
  { padId }: Tokenizer,
): Promise<Evaluation> {
  // Without a signal it comes to its end.
  const { loss } = (await evaluateRows(model, rows, perDeviceEvalBatchSize, padId))!;
  return evaluationOf(loss);
}

/** Bytes of the weights that a run saved. @param remove whole models are large, and all alike: they are not kept */
async function savedIn(dir: string, remove: boolean): Promise<number> {
  let bytes = 0;
  for (const name of (await readdir(dir)).filter((file) => file.endsWith(".safetensors"))) {
    bytes += (await stat(join(dir, name))).size;
    if (remove) await rm(join(dir, name));
  }
  return bytes;
}
