/** One call of `train`: steps, evaluations, checkpoints, and what is said about them. */
import { evaluateRows } from "./evaluate-rows.ts";
import { decays, optimizerOf } from "./optimizers.ts";
import { adapterHook, resolveParameter } from "../adapters/adapter.ts";
import type { Settings } from "../config/derive.ts";
import { scheduleOf, stepsOf } from "../config/schedule.ts";
import { cacheDirectory } from "../data/cache-directory.ts";
import { NumericError } from "../errors.ts";
import { virtualTokens } from "../lm/adapted-sequence.ts";
import { usableContext } from "../lm/usable-context.ts";
import { supervisedRows, type SupervisedRows } from "../lm/rows.ts";
import { countElements } from "../nn/module.ts";
import type { Schedule } from "../optim/schedule.ts";
import { diagnose } from "./diagnose.ts";
import { headChunks } from "./head-chunks.ts";
import { lmGraphs, pagingOf } from "./lm-graphs.ts";
import { LmStepper, type LmStepResult } from "./lm-stepper.ts";
import { checkRun, placesOf, rateAt } from "./method-steps.ts";
import { type Plan, type Position, stepsFrom, type StepRows } from "./plan.ts";
import type { Row, RowSource } from "../data/row-source.ts";
import { BestMetric } from "./run/best-metric.ts";
import { cleanCheckpoints, saveCheckpoint } from "./run/checkpoint-store.ts";
import { EarlyStopping } from "./run/early-stopping.ts";
import { emit, type EndEvent, type TrainerCallback } from "./run/events.ts";
import { type EvalRow, isAnalysisRow, isEvalRow, isTrainRow, type LogRow } from "./run/log-rows.ts";
import { RunLog } from "./run/log.ts";
import type { TrainerState } from "./run/trainer-state.ts";
import { writeTrainerState } from "./run/trainer-state.ts";
import { type Identity, type TrainingState, writeTrainingState } from "./run/training-state.ts";
import { countTrainable, type Trainable } from "../lm/trainable.ts";

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

/** Of `shift_attn`: LLaMA-Factory's, and the paper's. */
const SHIFTED_GROUPS = 4;

function groupsOf({ shiftAttn }: Pick<Settings, "shiftAttn">): number | undefined {
  return shiftAttn ? SHIFTED_GROUPS : undefined;
}

/** Length of a row for choices by cost, where nothing better is known. */
const TYPICAL_LENGTH = 512;

export interface RunParts {
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
export class TrainingRun {
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
  ): Promise<TrainingRun> {
    const { trainable, settings, outputDir, train, plan, callbacks } = parts;
    checkRun(trainable.adapters, plan.totalSteps);
    if (outputDir !== undefined) await cleanCheckpoints(outputDir);
    const { model, device } = trainable.language;
    const decaying = optimizerOf(settings, settings.weightDecay);
    const plain = settings.weightDecay === 0 ? decaying : optimizerOf(settings, 0);
    const chunks = headChunks(settings.perDeviceTrainBatchSize * train.maxSupervised, model.outputs);
    const typicalSizes = { B: settings.perDeviceTrainBatchSize, T: TYPICAL_LENGTH, C: 128 };
    const { adapters } = trainable;
    const groups = groupsOf(settings);
    const places = placesOf(adapters);
    const graphs = lmGraphs({
      model,
      trained: trainable.trained,
      stateOf: resolveParameter(adapters, model.tied),
      ...(trainable.language.stored === undefined ? {} : { stored: trainable.language.stored }),
      ...(adapters.length === 0 ? {} : { adapt: (seed) => adapterHook(adapters, { seed }) }),
      adapters,
      optimizerOf: (spec) => (decays(spec) ? decaying : plain),
      rateOf: (spec) => rateAt(places.get(spec.name), spec, settings.learningRate),
      chunks,
      checkpoint: settings.gradientCheckpointing,
      ...(groups === undefined ? {} : { groups }),
      typicalSizes,
      optimizerBudget: settings.optimizerMemoryBudget ?? Infinity,
    });
    // Weights that training changes must not stay in graphs that were compiled with them as constants.
    await trainable.language.changed();
    const stepper = await LmStepper.create(device, graphs, {
      model,
      optimizers: [...new Set([decaying, plain])],
      chunks,
      maxGradNorm: settings.maxGradNorm,
      seed: settings.seed,
      compile: { typicalSizes },
      adapters,
      totalSteps: plan.totalSteps,
      pagesFolder: outputDir ?? cacheDirectory(),
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
    const run = new TrainingRun(parts, stepper, log, resume);
    if (resumedFrom !== undefined) run.#checkpoint = resumedFrom;
    const { trainable: trainableParameters, all: allParameters } = countTrainable(trainable);
    const paging = pagingOf(graphs);
    const context = usableContext(model, adapters);
    await emit(callbacks, "onStart", {
      outputDir: outputDir ?? "",
      totalSteps: plan.totalSteps,
      totalEpochs: plan.totalEpochs,
      startStep: run.#progress.globalStep,
      startTokens: run.#progress.tokensSeen,
      history: log.history,
      ...(resumedFrom === undefined ? {} : { resumedFrom }),
      trainableParameters,
      allParameters,
      ...(context === undefined ? {} : { context }),
      ...(paging.paged === 0 ? {} : { paging }),
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
      await this.#measure();
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
    const { settings, padId, callbacks, trainable } = this.#parts;
    const progress = this.#progress;
    const virtual = virtualTokens(trainable.adapters);
    const learningRate = settings.learningRate * this.#schedule(progress.globalStep);
    const made = batches.map((rows) => ({ rows, batch: supervisedRows(rows, padId, virtual) }));
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

  /** A row of the log for what callbacks have to say of the model. */
  async #measure(): Promise<void> {
    const { callbacks, plan } = this.#parts;
    const { globalStep, tokensSeen } = this.#progress;
    const moment = { step: globalStep, epoch: this.#epoch };
    for (const callback of callbacks) {
      const metrics = await callback.measure?.({ ...moment, totalSteps: plan.totalSteps });
      if (metrics === undefined) continue;
      const row = await this.log.measured({ ...moment, tokensSeen }, metrics);
      await emit(callbacks, "onLog", { row, tokensSeen });
    }
  }

  async #evaluate(signal: AbortSignal | undefined): Promise<"go on" | "stop" | "interrupted"> {
    const { trainable, evaluation, settings, padId, callbacks } = this.#parts;
    const { globalStep, tokensSeen } = this.#progress;
    const result = await evaluateRows(trainable, evaluation!, settings.perDeviceEvalBatchSize, padId, signal);
    if (result === undefined) return "interrupted";
    const hasPerplexity = result.metrics === undefined;
    const moment = { step: globalStep, epoch: this.#epoch, tokensSeen };
    const row: EvalRow = await this.log.evaluate({ ...moment, ...result, hasPerplexity });
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
        if (!onlyModel) await trainable.saveStates?.(dir);
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
      stepper: this.#stepper.state(),
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

  /** As transformers estimates it: 6 operations for each token and parameter, tables of embeddings left out. */
  get #flos(): number {
    const { language, adapters } = this.#parts.trainable;
    const { model } = language;
    const tables = new Set(model.layers.flatMap((layer) => (layer.kind === "embedding" ? [layer.weight] : [])));
    const parameters = [...model.parameters, ...adapters.flatMap((adapter) => adapter.parameters)];
    return 6 * this.#progress.tokensSeen * countElements(parameters.filter(({ name }) => !tables.has(name)));
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
      totalFlos: this.#flos,
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
        totalFlos: this.#flos,
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
      logHistory: this.log.history
        .filter((row) => isTrainRow(row) || isEvalRow(row) || isAnalysisRow(row))
        .map(camelRow),
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
    const { trainable, settings } = this.#parts;
    const found: string[] = [];
    for (const { rows, batch } of batches) {
      const { tensor, rows: bad, parameters } = await diagnose(trainable, batch, groupsOf(settings));
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

function camelRow(row: LogRow): Record<string, number> {
  return Object.fromEntries(
    Object.entries(row).map(([key, value]) => [key.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase()), value]),
  );
}
