/**
 * Trains a language model. Arguments and meanings are those of transformers' `Trainer`; a run that is stopped and resumed
 * takes the same steps, bit for bit, as one that is not.
 */
import { evaluateRows } from "./evaluate-rows.ts";
import { type RunParts, TrainingRun, type TrainOutput } from "./training-run.ts";
import type { Settings } from "../config/derive.ts";
import type { TrainingArguments } from "../config/keys.ts";
import { validateArgs } from "../config/read.ts";
import { ConfigError } from "../errors.ts";
import { runIdentity } from "./identity.ts";
import { type Plan, planRun } from "./plan.ts";
import type { RowOrder, RowSource } from "../data/row-source.ts";
import { verifyCheckpoint } from "./run/checkpoint-store.ts";
import { type TrainerCallback } from "./run/events.ts";
import type { LogRow } from "./run/log-rows.ts";
import type { RunLog } from "./run/log.ts";
import { checkIdentity, type Identity, readTrainingState, type TrainingState } from "./run/training-state.ts";
import { virtualTokens } from "../lm/adapted-sequence.ts";
import { type Trainable } from "../lm/trainable.ts";
import type { TextModel } from "../models/text-model.ts";
import { rowsOf, type TrainRow } from "./train-rows.ts";

export interface TrainerOptions {
  /** A model, all of whose weights are trained, or one with an adapter, which is. */
  readonly model: { trainable(): Trainable };
  readonly trainDataset: readonly TrainRow[] | RowSource;
  readonly evalDataset?: readonly TrainRow[] | RowSource;
  /** transformers' TrainingArguments in camelCase, and `shuffle`. Without `outputDir` nothing is written. */
  readonly args?: TrainingArguments;
  /** The configuration of a run that has been read already, in place of `args`. */
  readonly settings?: Settings;
  readonly callbacks?: readonly TrainerCallback[];
  /** Token that fills shorter rows up. Nothing attends to it, so that any will do. Default: 0. */
  readonly padId?: number;
  /** Puts further files into every checkpoint, such as the tokenizer's. */
  readonly alsoSave?: (dir: string) => Promise<void>;
}

export class Trainer {
  readonly #trainable: Trainable;
  readonly #settings: Settings;
  readonly #outputDir: string | undefined;
  readonly #train: RowSource;
  readonly #eval: RowSource | undefined;
  readonly #callbacks: readonly TrainerCallback[];
  readonly #padId: number;
  readonly #alsoSave: ((dir: string) => Promise<void>) | undefined;
  #log: RunLog | undefined;

  /** @throws ConfigError with everything that is wrong with `args` */
  constructor(options: TrainerOptions) {
    const { args = {}, settings, evalDataset } = options;
    const { config, given } =
      settings === undefined
        ? validateArgs(args, evalDataset !== undefined)
        : { config: settings, given: new Set(["output_dir"]) };
    this.#trainable = options.model.trainable();
    this.#settings = config;
    this.#outputDir = given.has("output_dir") ? config.outputDir : undefined;
    const { perDeviceTrainBatchSize, gradientAccumulationSteps } = config;
    const order: RowOrder = {
      seed: config.shuffle ? config.dataSeed : undefined,
      ...(config.groupByLength ? { groupOf: perDeviceTrainBatchSize * gradientAccumulationSteps } : {}),
    };
    const { model } = this.#trainable.language;
    checkMetric(config, model);
    const { count: places } = virtualTokens(this.#trainable.adapters);
    this.#train = rowsOf("trainDataset", options.trainDataset, model, order, places);
    this.#eval =
      evalDataset === undefined ? undefined : rowsOf("evalDataset", evalDataset, model, { seed: undefined }, places);
    this.#callbacks = options.callbacks ?? [];
    if (config.analysisSteps !== null && !this.#callbacks.some(({ measure }) => measure !== undefined)) {
      throw new ConfigError({
        where: "analysisSteps",
        what: "nothing looks at the weights",
        hint: "add `analysisCallback(model, …)` to the callbacks",
      });
    }
    this.#padId = options.padId ?? 0;
    this.#alsoSave = options.alsoSave;
  }

  /** Rows of the log so far, by transformers' names. */
  get history(): readonly LogRow[] {
    return this.#log?.history ?? [];
  }

  /**
   * Trains to the end, or until `signal` is aborted: then the step at hand is finished and saved.
   * @param resumeFrom path of a checkpoint to go on from
   * @throws NumericError if a loss or a gradient is not finite, naming the tensor and the samples; what was trained is as
   *   before that step. ConfigError if the checkpoint is of another run
   */
  async train({ signal, resumeFrom }: { signal?: AbortSignal; resumeFrom?: string } = {}): Promise<TrainOutput> {
    const plan = planRun(this.#train.length, this.#settings);
    await this.#trainable.ready();
    const resume = resumeFrom === undefined ? undefined : await this.#restore(resumeFrom);
    const run = await TrainingRun.start(this.#parts(plan), resume, resumeFrom);
    this.#log = run.log;
    try {
      return await run.finish(await run.steps(signal));
    } catch (error) {
      await run.fail();
      throw error;
    } finally {
      await run.dispose();
    }
  }

  /**
   * Mean loss and perplexity over the evaluation set, of a classifier also accuracy and macro F1; after training, a row of
   * the log too.
   * @throws ConfigError if there is none; the signal's reason
   */
  async evaluate({ signal }: { signal?: AbortSignal } = {}): Promise<{
    readonly evalLoss: number;
    readonly perplexity: number;
    readonly evalAccuracy?: number;
    readonly evalF1?: number;
  }> {
    if (this.#eval === undefined) {
      throw new ConfigError({ where: "evaluate", what: "the trainer has no evalDataset" });
    }
    await this.#trainable.ready();
    const { perDeviceEvalBatchSize } = this.#settings;
    const result = await evaluateRows(this.#trainable, this.#eval, perDeviceEvalBatchSize, this.#padId, signal);
    if (result === undefined) throw signal?.reason;
    const { loss, metrics } = result;
    const last = this.#log?.history.at(-1);
    if (last !== undefined) {
      const hasPerplexity = metrics === undefined;
      await this.#log!.evaluate({ step: last.step, epoch: last.epoch, ...result, hasPerplexity });
    }
    return {
      evalLoss: loss,
      perplexity: Math.exp(loss),
      ...(metrics === undefined ? {} : { evalAccuracy: metrics.accuracy, evalF1: metrics.f1 }),
    };
  }

  async #restore(dir: string): Promise<TrainingState> {
    await verifyCheckpoint(dir);
    const state = await readTrainingState(dir);
    checkIdentity(state.identity, this.#identity);
    await this.#trainable.restore(dir);
    return state;
  }

  #parts(plan: Plan): RunParts {
    return {
      trainable: this.#trainable,
      settings: this.#settings,
      outputDir: this.#outputDir,
      train: this.#train,
      evaluation: this.#eval,
      callbacks: this.#callbacks,
      padId: this.#padId,
      alsoSave: this.#alsoSave,
      plan,
      identity: this.#identity,
    };
  }

  /** What a checkpoint of another run differs in. */
  get #identity(): Identity {
    return runIdentity(this.#settings, this.#trainable, this.#train.length);
  }
}

/** @throws ConfigError if evaluations of the model have no such metric */
function checkMetric({ metricForBestModel: metric }: Settings, { task }: TextModel): void {
  const isOfClasses = metric === "accuracy" || metric === "f1";
  const isClassifier = task.kind === "classification";
  if (metric === "loss" || isOfClasses === isClassifier) return;
  throw new ConfigError({
    where: "metric_for_best_model",
    what: isClassifier ? "classes have no perplexity" : "only a model that tells classes is right or wrong",
    got: metric,
    expected: isClassifier ? "loss, accuracy or f1" : "loss or perplexity",
  });
}
