/**
 * Trains a language model: steps, evaluations, checkpoints, and what is said about them. Arguments and meanings are those
 * of transformers' `Trainer`; a run that is stopped and resumed takes the same steps, bit for bit, as one that is not.
 */
import { adapterHook, resolveParameter } from "../adapters/adapter.ts";
import type { Settings } from "../config/derive.ts";
import type { TrainingArguments } from "../config/keys.ts";
import { validateArgs } from "../config/read.ts";
import { scheduleOf, stepsOf } from "../config/schedule.ts";
import { ConfigError, NumericError } from "../errors.ts";
import { supervisedFeeds, supervisedRows, type SupervisedRows } from "../lm/rows.ts";
import { sequenceFeeds } from "../lm/sequence.ts";
import { countElements, type ParameterSpec } from "../nn/module.ts";
import { adamw } from "../optim/adam.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { Schedule } from "../optim/schedule.ts";
import { sgd } from "../optim/sgd.ts";
import { diagnose } from "./diagnose.ts";
import { runIdentity } from "./identity.ts";
import { headChunks } from "./head-chunks.ts";
import { lmGraphs } from "./lm-graphs.ts";
import { LmStepper, type LmStepResult } from "./lm-stepper.ts";
import { type Plan, planRun, type Position, stepsFrom, type StepRows } from "./plan.ts";
import type { Row, RowSource } from "../data/row-source.ts";
import { BestMetric } from "./run/best-metric.ts";
import { cleanCheckpoints, saveCheckpoint, verifyCheckpoint } from "./run/checkpoint-store.ts";
import { EarlyStopping } from "./run/early-stopping.ts";
import { emit, type EndEvent, type TrainerCallback } from "./run/events.ts";
import { type EvalRow, isEvalRow, isTrainRow, type LogRow } from "./run/log-rows.ts";
import { RunLog } from "./run/log.ts";
import type { TrainerState } from "./run/trainer-state.ts";
import { writeTrainerState } from "./run/trainer-state.ts";
import {
  checkIdentity,
  type Identity,
  readTrainingState,
  type TrainingState,
  writeTrainingState,
} from "./run/training-state.ts";
import { countTrainable, type Trainable } from "../lm/trainable.ts";
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

export interface TrainOutput {
  readonly globalStep: number;
  /** Mean of the steps' losses, in nats. */
  readonly trainingLoss: number;
  /** As transformers keeps it, with names in camelCase: one entry per logging step, and per evaluation. */
  readonly logHistory: readonly Readonly<Record<string, number>>[];
  readonly reason: Exclude<EndEvent["reason"], "failed">;
  /** The step whose weights the model has now: with `loadBestModelAtEnd` that of the best evaluation. */
  readonly weightsOfStep: number;
  /** Path of the newest checkpoint, if there is one. */
  readonly checkpoint?: string;
}

/** Parameters up to which the memory of a step is kept for the next one. */
const ARENA_BELOW = 100e6;
/** Length of a row for choices by cost, where nothing better is known. */
const TYPICAL_LENGTH = 512;

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
    const seed = config.shuffle ? config.dataSeed : undefined;
    const { model } = this.#trainable.language;
    this.#train = rowsOf("trainDataset", options.trainDataset, model, seed);
    this.#eval = evalDataset === undefined ? undefined : rowsOf("evalDataset", evalDataset, model, undefined);
    this.#callbacks = options.callbacks ?? [];
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
    const run = await Run.start(this.#parts(plan), resume, resumeFrom);
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
   * Mean loss and perplexity over the evaluation set; after training, a row of the log too.
   * @throws ConfigError if there is none; the signal's reason
   */
  async evaluate({ signal }: { signal?: AbortSignal } = {}): Promise<{
    readonly evalLoss: number;
    readonly perplexity: number;
  }> {
    if (this.#eval === undefined) {
      throw new ConfigError({ where: "evaluate", what: "the trainer has no evalDataset" });
    }
    await this.#trainable.ready();
    const { perDeviceEvalBatchSize } = this.#settings;
    const result = await evaluateRows(this.#trainable, this.#eval, perDeviceEvalBatchSize, this.#padId, signal);
    if (result === undefined) throw signal?.reason;
    const { loss, speed } = result;
    const last = this.#log?.history.at(-1);
    if (last !== undefined) await this.#log!.evaluate({ step: last.step, epoch: last.epoch, loss, speed });
    return { evalLoss: loss, perplexity: Math.exp(loss) };
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

interface RunParts {
  readonly trainable: Trainable;
  readonly settings: Settings;
  readonly outputDir: string | undefined;
  readonly train: RowSource;
  readonly evaluation: RowSource | undefined;
  readonly callbacks: readonly TrainerCallback[];
  readonly padId: number;
  readonly alsoSave: ((dir: string) => Promise<void>) | undefined;
  readonly plan: Plan;
  readonly identity: Identity;
}

/** What changes from step to step, besides the parameters and the optimizer's states. */
interface Progress {
  globalStep: number;
  position: Position;
  tokensSeen: number;
  samplesSkipped: number;
  /** Sum and number of the steps' losses since the last row of the log, and over the whole run. */
  lossSum: number;
  lossCount: number;
  totalLoss: number;
  totalCount: number;
  /** Whether the run was stopped in the evaluation of this step, which is still to be made. */
  evaluationDue: boolean;
}

/** One call of `train`. */
class Run {
  readonly #parts: RunParts;
  readonly #stepper: LmStepper;
  readonly #schedule: Schedule;
  readonly #best: BestMetric;
  readonly #stopping: EarlyStopping | undefined;
  readonly #progress: Progress;
  readonly log: RunLog;
  /** Where this part of the run began. */
  readonly #startedAt: { readonly step: number; readonly epoch: number };
  #bestCheckpoint: string | undefined;
  #checkpoint: string | undefined;
  #savedStep = -1;

  private constructor(parts: RunParts, stepper: LmStepper, log: RunLog, resume?: TrainingState) {
    const { settings, plan } = parts;
    this.#parts = parts;
    this.#stepper = stepper;
    this.log = log;
    this.#schedule = scheduleOf(settings, plan.totalSteps);
    const { bestMetric, bestGlobalStep, bestModelCheckpoint } = resume?.trainer ?? {};
    const best =
      typeof bestMetric !== "number" || typeof bestGlobalStep !== "number"
        ? undefined
        : { value: bestMetric, step: bestGlobalStep };
    this.#best = new BestMetric(
      { metric: settings.metricForBestModel, greaterIsBetter: settings.greaterIsBetter },
      best,
    );
    this.#bestCheckpoint = bestModelCheckpoint ?? undefined;
    const patience = settings.earlyStoppingSteps;
    const fruitless = Number(resume?.progress["fruitless"] ?? 0);
    this.#stopping = patience === null ? undefined : new EarlyStopping({ patience }, fruitless);
    const number = (key: string) => Number(resume?.progress[key] ?? 0);
    this.#progress = {
      globalStep: number("globalStep"),
      position: { epoch: number("epoch"), used: number("positionInEpoch") },
      tokensSeen: number("tokensSeen"),
      samplesSkipped: number("samplesSkipped"),
      lossSum: number("lossSum"),
      lossCount: number("lossCount"),
      totalLoss: number("totalLoss"),
      totalCount: number("totalCount"),
      evaluationDue: resume?.progress["evaluationDue"] === true,
    };
    this.#startedAt = { step: this.#progress.globalStep, epoch: this.#epoch };
  }

  static async start(
    parts: RunParts,
    resume: TrainingState | undefined,
    resumedFrom: string | undefined,
  ): Promise<Run> {
    const { trainable, settings, outputDir, train, plan, callbacks } = parts;
    if (outputDir !== undefined) await cleanCheckpoints(outputDir);
    const { model, device } = trainable.language;
    const decaying = optimizerOf(settings, settings.weightDecay);
    const plain = settings.weightDecay === 0 ? decaying : optimizerOf(settings, 0);
    const chunks = headChunks(settings.perDeviceTrainBatchSize * train.maxSupervised, model.vocabSize);
    const typicalSizes = { B: settings.perDeviceTrainBatchSize, T: TYPICAL_LENGTH, C: 128 };
    const { adapters } = trainable;
    const graphs = lmGraphs({
      model,
      trained: trainable.trained,
      stateOf: resolveParameter(adapters, model.tied),
      ...(adapters.length === 0 ? {} : { adapt: (seed) => adapterHook(adapters, { seed }) }),
      optimizerOf: (spec) => (decays(spec) ? decaying : plain),
      chunks,
      checkpoint: settings.gradientCheckpointing,
      typicalSizes,
    });
    // Weights that training changes must not stay in graphs that were compiled with them as constants.
    await trainable.language.changed();
    const stepper = await LmStepper.create(device, graphs, {
      model,
      optimizers: [...new Set([decaying, plain])],
      chunks,
      maxGradNorm: settings.maxGradNorm,
      seed: settings.seed,
      compile: { typicalSizes, arena: countElements(model.parameters) < ARENA_BELOW },
      ...(resume === undefined ? {} : { resume: resume.stepper }),
    });
    const log = await RunLog.open({
      outputDir,
      totalSteps: plan.totalSteps,
      ...(resume === undefined
        ? {}
        : {
            resume: {
              step: resume.progress.globalStep,
              history: resume.trainer.logHistory,
              tokensSeen: resume.progress.tokensSeen,
              elapsedMs: resume.progress.elapsedMs,
            },
          }),
    });
    const run = new Run(parts, stepper, log, resume);
    if (resumedFrom !== undefined) run.#checkpoint = resumedFrom;
    const { trainable: trainableParameters, all: allParameters } = countTrainable(trainable);
    await emit(callbacks, "onStart", {
      outputDir: outputDir ?? "",
      totalSteps: plan.totalSteps,
      totalEpochs: plan.totalEpochs,
      startStep: run.#progress.globalStep,
      startTokens: run.#progress.tokensSeen,
      ...(resumedFrom === undefined ? {} : { resumedFrom }),
      trainableParameters,
      allParameters,
      settings: { ...settings },
    });
    return run;
  }

  /** Takes the steps that are left. */
  async steps(signal: AbortSignal | undefined): Promise<TrainOutput["reason"]> {
    const { settings, train, plan, evaluation } = this.#parts;
    const progress = this.#progress;
    if (settings.evalOnStart && evaluation !== undefined && progress.globalStep === 0) {
      if ((await this.#evaluate(signal)) === "interrupted") return "interrupted";
    } else if (progress.evaluationDue) {
      const endsEpoch = progress.position.epoch > 0 && progress.position.used === 0;
      const reason = await this.#afterStep(endsEpoch, signal);
      if (reason !== undefined) return reason;
    }
    if (progress.globalStep >= plan.totalSteps) return "finished";
    for await (const rows of stepsFrom(train, settings, progress.position)) {
      const endsEpoch = rows.position.epoch > progress.position.epoch;
      await this.#step(rows);
      await this.#logIfDue(endsEpoch, progress.globalStep >= plan.totalSteps);
      const reason = await this.#afterStep(endsEpoch, signal);
      if (reason !== undefined) return reason;
    }
    return "finished";
  }

  /** Evaluates and saves where it is time to. @returns why the run should end here, if it should */
  async #afterStep(endsEpoch: boolean, signal: AbortSignal | undefined): Promise<TrainOutput["reason"] | undefined> {
    const { settings, plan, evaluation } = this.#parts;
    const ends = this.#progress.globalStep >= plan.totalSteps;
    const due = (strategy: string, every: number) =>
      strategy === "steps" ? this.#isDue(every) : strategy === "epoch" && (endsEpoch || ends);
    let stop = false;
    if (evaluation !== undefined && due(settings.evalStrategy, settings.evalSteps)) {
      const outcome = await this.#evaluate(signal);
      this.#progress.evaluationDue = outcome === "interrupted";
      if (outcome === "interrupted") return "interrupted";
      stop = outcome === "stop";
    }
    if (due(settings.saveStrategy, settings.saveSteps)) await this.#save();
    if (ends) return "finished";
    if (stop) return "early-stopping";
    return signal?.aborted === true ? "interrupted" : undefined;
  }

  #isDue(every: number): boolean {
    return this.#progress.globalStep % stepsOf(every, this.#parts.plan.totalSteps) === 0;
  }

  /** Passes over the data so far, with the fraction of the present one. */
  get #epoch(): number {
    const { plan, train, settings } = this.#parts;
    const { position, globalStep } = this.#progress;
    if (train.length === undefined) return globalStep / plan.totalSteps;
    // Counted in batches, as transformers counts.
    const batches = (rows: number) => Math.ceil(rows / settings.perDeviceTrainBatchSize);
    return position.epoch + batches(position.used) / batches(train.length);
  }

  async #step({ batches, position }: StepRows): Promise<void> {
    const { settings, padId, callbacks } = this.#parts;
    const progress = this.#progress;
    const learningRate = settings.learningRate * this.#schedule(progress.globalStep);
    const made = batches.map((rows) => ({ rows, batch: supervisedRows(rows, padId) }));
    const useful = made.filter(({ batch }) => batch.rows.length > 0);
    progress.globalStep++;
    progress.position = position;
    const skipped = made.filter(({ batch }) => batch.rows.length === 0).flatMap(({ rows }) => rows);
    if (skipped.length > 0) {
      progress.samplesSkipped += skipped.length;
      await emit(callbacks, "onSkip", {
        step: progress.globalStep,
        reason: "no token to train on",
        samples: skipped.length,
        totalSkipped: progress.samplesSkipped,
        sources: sourcesOf(skipped),
      });
    }
    if (useful.length === 0) return;
    let result: LmStepResult;
    try {
      result = await this.#stepper.step(
        useful.map(({ batch }) => batch),
        learningRate,
      );
    } catch (error) {
      throw error instanceof NumericError ? await this.#explain(error, useful) : error;
    }
    progress.tokensSeen += batches.flat().reduce((sum, { inputIds }) => sum + inputIds.length, 0);
    progress.lossSum += result.loss;
    progress.totalLoss += result.loss;
    progress.lossCount++;
    progress.totalCount++;
    this.#last = { learningRate, gradNorm: result.gradNorm };
    await emit(callbacks, "onStep", {
      step: progress.globalStep,
      epoch: this.#epoch,
      loss: result.loss,
      learningRate,
      gradNorm: result.gradNorm,
      tokensSeen: progress.tokensSeen,
      memoryBytes: process.memoryUsage.rss(),
    });
  }

  /** Of the last step that was taken. */
  #last = { learningRate: 0, gradNorm: 0 };

  async #logIfDue(endsEpoch: boolean, ends: boolean): Promise<void> {
    const { settings, callbacks } = this.#parts;
    const progress = this.#progress;
    const { loggingStrategy: strategy, loggingSteps } = settings;
    const first = settings.loggingFirstStep && progress.globalStep === 1;
    const due = strategy === "steps" ? this.#isDue(loggingSteps) : strategy === "epoch" && (endsEpoch || ends);
    if ((!due && !first) || progress.lossCount === 0) return;
    const row = await this.log.train({
      step: progress.globalStep,
      epoch: this.#epoch,
      loss: progress.lossSum / progress.lossCount,
      ...this.#last,
      tokensSeen: progress.tokensSeen,
    });
    progress.lossSum = progress.lossCount = 0;
    await emit(callbacks, "onLog", { row, tokensSeen: progress.tokensSeen });
  }

  async #evaluate(signal: AbortSignal | undefined): Promise<"go on" | "stop" | "interrupted"> {
    const { trainable, evaluation, settings, padId, callbacks } = this.#parts;
    const { globalStep, tokensSeen } = this.#progress;
    const result = await evaluateRows(trainable, evaluation!, settings.perDeviceEvalBatchSize, padId, signal);
    if (result === undefined) return "interrupted";
    const { loss, speed } = result;
    const row: EvalRow = await this.log.evaluate({ step: globalStep, epoch: this.#epoch, loss, speed, tokensSeen });
    const value = this.#best.valueIn(row);
    const stop = this.#stopping?.observe(this.#best, value) ?? false;
    const best = this.#best.offer(value, globalStep);
    if (best && this.#parts.outputDir !== undefined && settings.saveStrategy !== "no") this.#bestCheckpoint = undefined;
    await emit(callbacks, "onLog", { row, tokensSeen });
    await emit(callbacks, "onEvaluate", { row, best });
    return stop ? "stop" : "go on";
  }

  /** @param whole whether it has to be one that can be resumed from, whatever `saveOnlyModel` says */
  async #save({ whole = false } = {}): Promise<void> {
    const { outputDir, trainable, settings, callbacks, alsoSave } = this.#parts;
    const { globalStep } = this.#progress;
    const onlyModel = settings.saveOnlyModel && !whole;
    if (outputDir === undefined || (this.#savedStep === globalStep && !(settings.saveOnlyModel && whole))) return;
    const state = await this.#state();
    const isBest = this.#best.best?.step === globalStep;
    const { path, removed } = await saveCheckpoint(
      outputDir,
      globalStep,
      async (dir) => {
        await trainable.save(dir);
        await alsoSave?.(dir);
        if (onlyModel) await writeTrainerState(dir, state.trainer);
        else await writeTrainingState(dir, state);
      },
      {
        ...(settings.saveTotalLimit === null ? {} : { saveTotalLimit: settings.saveTotalLimit }),
        ...(this.#bestCheckpoint === undefined || isBest ? {} : { keep: this.#bestCheckpoint }),
      },
    );
    if (isBest) this.#bestCheckpoint = path;
    this.#checkpoint = path;
    this.#savedStep = globalStep;
    await emit(callbacks, "onSave", { step: globalStep, path, removed });
  }

  async #state(): Promise<TrainingState> {
    const progress = this.#progress;
    const { position, ...counts } = progress;
    return {
      stepper: await this.#stepper.state(),
      progress: {
        ...counts,
        epoch: position.epoch,
        positionInEpoch: position.used,
        elapsedMs: this.log.elapsedMs,
        fruitless: this.#stopping?.fruitless ?? 0,
      },
      // Orders and dropout masks are functions of seeds and positions: no generator has a state of its own.
      random: {},
      identity: this.#parts.identity,
      trainer: this.trainerState(),
    };
  }

  trainerState(): TrainerState {
    const { settings, plan } = this.#parts;
    const { globalStep, tokensSeen } = this.#progress;
    const best = this.#best.best;
    const interval = (every: number) => stepsOf(every, plan.totalSteps);
    return {
      globalStep,
      epoch: this.#epoch,
      maxSteps: plan.totalSteps,
      numTrainEpochs: plan.totalEpochs,
      trainBatchSize: settings.perDeviceTrainBatchSize,
      loggingSteps: interval(settings.loggingSteps),
      saveSteps: interval(settings.saveSteps),
      evalSteps: interval(settings.evalSteps),
      numInputTokensSeen: tokensSeen,
      logHistory: this.log.history,
      bestMetric: best?.value ?? null,
      bestGlobalStep: best?.step ?? null,
      // A checkpoint of this step is about to be written: it is the best one then.
      bestModelCheckpoint: this.#bestPath() ?? null,
      ...(this.#stopping === undefined ? {} : { statefulCallbacks: { EarlyStoppingCallback: this.#stopping.state() } }),
    };
  }

  #bestPath(): string | undefined {
    const { outputDir } = this.#parts;
    const { globalStep } = this.#progress;
    if (outputDir !== undefined && this.#best.best?.step === globalStep) return `${outputDir}/checkpoint-${globalStep}`;
    return this.#bestCheckpoint;
  }

  /** Saves what an interrupted run has, takes the best weights if asked, and closes the log. */
  async finish(reason: TrainOutput["reason"]): Promise<TrainOutput> {
    const { settings, trainable, outputDir, callbacks } = this.#parts;
    const progress = this.#progress;
    let weightsOfStep = progress.globalStep;
    if (reason === "interrupted") await this.#save({ whole: true });
    else if (settings.saveStrategy !== "no") await this.#save();
    const trainingLoss = progress.totalCount === 0 ? NaN : progress.totalLoss / progress.totalCount;
    if (reason !== "interrupted") {
      if (settings.loadBestModelAtEnd && this.#bestCheckpoint !== undefined) {
        await trainable.restore(this.#bestCheckpoint);
        await trainable.language.changed();
        weightsOfStep = this.#best.best?.step ?? weightsOfStep;
      }
      const samples = this.#parts.train.length;
      const row = await this.log.finish({
        step: progress.globalStep,
        epoch: this.#epoch,
        loss: trainingLoss,
        speed: {
          steps: progress.globalStep - this.#startedAt.step,
          ...(samples === undefined ? {} : { samples: Math.round(samples * (this.#epoch - this.#startedAt.epoch)) }),
        },
        tokensSeen: progress.tokensSeen,
      });
      await emit(callbacks, "onLog", { row, tokensSeen: progress.tokensSeen });
    }
    if (outputDir !== undefined) await writeTrainerState(outputDir, this.trainerState());
    await emit(callbacks, "onEnd", {
      reason,
      step: progress.globalStep,
      loss: trainingLoss,
      elapsedMs: this.log.elapsedMs,
      ...(this.#checkpoint === undefined ? {} : { checkpoint: this.#checkpoint }),
      ...(weightsOfStep === progress.globalStep ? {} : { best: weightsOfStep }),
    });
    return {
      globalStep: progress.globalStep,
      trainingLoss,
      logHistory: this.log.history.filter((row) => isTrainRow(row) || isEvalRow(row)).map(camelRow),
      reason,
      weightsOfStep,
      ...(this.#checkpoint === undefined ? {} : { checkpoint: this.#checkpoint }),
    };
  }

  async fail(): Promise<void> {
    await emit(this.#parts.callbacks, "onEnd", {
      reason: "failed",
      step: this.#progress.globalStep,
      elapsedMs: this.log.elapsedMs,
      ...(this.#checkpoint === undefined ? {} : { checkpoint: this.#checkpoint }),
    });
  }

  async dispose(): Promise<void> {
    await this.#stepper.dispose();
  }

  /** The error with the tensor and the samples that it began with. */
  async #explain(
    error: NumericError,
    batches: readonly { readonly rows: readonly Row[]; readonly batch: SupervisedRows }[],
  ): Promise<NumericError> {
    const { trainable } = this.#parts;
    const found: string[] = [];
    for (const { rows, batch } of batches) {
      const { tensor, rows: bad, parameters } = await diagnose(trainable, batch);
      if (parameters.length > 0) found.push(`the parameter ${parameters[0]!} is not finite`);
      if (tensor !== undefined) found.push(`first tensor that is not finite: ${tensor}`);
      const samples = sourcesOf(tensor === undefined ? rows : bad.map((i) => rows[i]!));
      if (samples.length > 0) found.push(`samples ${samples.slice(0, 4).join(", ")}`);
      if (found.length > 0) break;
    }
    const { got: _got, ...problem } = error.problem;
    const from = this.#checkpoint === undefined ? "" : `; the run can go on from ${this.#checkpoint}`;
    return new NumericError({
      ...problem,
      where: `step ${this.#progress.globalStep}`,
      ...(found.length === 0 ? {} : { got: found.join("; ") }),
      hint: `${error.problem.hint ?? ""}${from}`,
      cause: error,
    });
  }
}

function sourcesOf(rows: readonly Row[]): string[] {
  return rows.flatMap(({ sources = [] }) => sources.map(({ file, line }) => `${file}:${line}`));
}

function optimizerOf({ optim, adamBeta1, adamBeta2, adamEpsilon }: Settings, weightDecay: number): Optimizer {
  if (optim === "sgd") return sgd({ weightDecay });
  return adamw({ beta1: adamBeta1, beta2: adamBeta2, epsilon: adamEpsilon, weightDecay });
}

/** As transformers: neither biases nor the scales of norms decay. */
function decays({ name }: ParameterSpec): boolean {
  return !/bias|layernorm|rmsnorm|(^|[._])norm($|\.)|(^|\.)ln_|_norm($|\.)/i.test(name);
}

function camelRow(row: LogRow): Record<string, number> {
  return Object.fromEntries(
    Object.entries(row).map(([key, value]) => [key.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase()), value]),
  );
}

/** Mean loss over the supervised tokens of all rows; undefined if `signal` came before the end. */
export async function evaluateRows(
  { language, adapters }: Trainable,
  source: RowSource,
  batchSize: number,
  padId: number,
  signal?: AbortSignal,
): Promise<{ loss: number; speed: { runtimeMs: number; samples: number; steps: number } } | undefined> {
  const start = performance.now();
  const chunks = headChunks(batchSize * source.maxSupervised, language.model.vocabSize);
  const names = adapters.map(({ name }) => name);
  let [sum, count, samples, steps] = [0, 0, 0, 0];
  const flush = async (rows: readonly Row[]) => {
    const batch = supervisedRows(rows, padId);
    samples += rows.length;
    steps++;
    if (batch.rows.length === 0) return;
    const feeds = { ...sequenceFeeds(language.model, batch), ...supervisedFeeds(batch, chunks, 1 / batch.rows.length) };
    sum +=
      (await language.loss(
        feeds,
        rows.map(() => names),
        chunks,
      )) * batch.rows.length;
    count += batch.rows.length;
  };
  let waiting: Row[] = [];
  for await (const row of source.rows(0, 0)) {
    waiting.push(row);
    if (waiting.length < batchSize) continue;
    if (signal?.aborted === true) return undefined;
    await flush(waiting);
    waiting = [];
  }
  if (waiting.length > 0) await flush(waiting);
  return { loss: sum / count, speed: { runtimeMs: performance.now() - start, samples, steps } };
}
