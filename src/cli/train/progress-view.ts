/** Shows a training run in a terminal: a bar with loss, learning rate, tokens/s and memory; elsewhere a line for each log row. */
import { basename } from "node:path";
import { contextText } from "../../lm/usable-context.ts";
import type { EndEvent, LogEvent, StartEvent, StepEvent, TrainerCallback } from "../../train/run/events.ts";
import { analysisText } from "../../train/run/analysis-row.ts";
import { isAnalysisRow, isTrainRow } from "../../train/run/log-rows.ts";
import {
  countText,
  evaluationText,
  memoryText,
  percentText,
  progressFields,
  rateText,
  TokenRate,
} from "../../train/run/progress-line.ts";
import { isInteractive, type Output } from "../terminal/output.ts";
import { byteText, duration, Progress } from "../terminal/progress.ts";

/** Batches without anything to train on are named so often; after that they are only counted. */
const SKIPS_SHOWN = 3;

export interface ProgressViewOptions {
  /** Default: `process.stderr`. */
  readonly stream?: Output;
  /** Default: `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
  /** Milliseconds on a clock that does not go back. Default: `performance.now`. */
  readonly now?: () => number;
}

export class ProgressView implements TrainerCallback {
  readonly #stream: Output;
  readonly #env: NodeJS.ProcessEnv;
  readonly #now: () => number;
  #start: StartEvent | undefined;
  #startedAt = 0;
  #bar: Progress | undefined;
  #rate: TokenRate | undefined;
  #tokensPerSecond: number | undefined;
  #last: StepEvent | undefined;
  #skips = 0;
  #totalSkipped = 0;

  constructor({ stream = process.stderr, env = process.env, now = () => performance.now() }: ProgressViewOptions = {}) {
    this.#stream = stream;
    this.#env = env;
    this.#now = now;
  }

  onStart(event: StartEvent): void {
    const { totalSteps, startStep, resumedFrom, trainableParameters, allParameters, paging, context } = event;
    this.#start = event;
    this.#startedAt = this.#now();
    this.#rate = new TokenRate(this.#startedAt, event.startTokens);
    const [trainable, all] = [trainableParameters, allParameters].map((count) => count.toLocaleString("en-US"));
    const share = ((100 * trainableParameters) / allParameters).toFixed(4);
    this.note(`trainable params: ${trainable} || all params: ${all} || trainable%: ${share}`);
    if (context !== undefined) this.note(contextText(context));
    if (paging !== undefined) {
      const { resident, paged, atOnce } = paging;
      this.note(
        `optimizer states: ${byteText(resident)} in memory, ${byteText(paged)} paged to the disk, at most ${byteText(atOnce)} of it read at a time`,
      );
    }
    if (resumedFrom !== undefined) this.note(`resumed from ${resumedFrom}, ${startStep} of ${totalSteps} steps done`);
    if (isInteractive(this.#stream, this.#env)) {
      this.#bar = new Progress({
        label: "training",
        total: totalSteps,
        initial: startStep,
        stream: this.#stream,
        env: this.#env,
        now: this.#now,
      });
    }
  }

  onStep(event: StepEvent): void {
    this.#last = event;
    this.#tokensPerSecond = this.#rate?.update(this.#now(), event.tokensSeen);
    this.#bar?.update(event.step, progressFields(event, this.#tokensPerSecond));
  }

  onLog({ row }: LogEvent): void {
    if (isAnalysisRow(row)) this.note(`step ${row.step}: ${analysisText(row)}`);
    // On a terminal the bar has shown it.
    if (this.#bar !== undefined || !isTrainRow(row)) return;
    const { totalSteps = 0, startStep = 0 } = this.#start ?? {};
    const seconds = (this.#now() - this.#startedAt) / 1000;
    const left = (seconds / Math.max(1, row.step - startStep)) * Math.max(0, totalSteps - row.step);
    this.note(
      [
        `step ${row.step}/${totalSteps} (${percentText(row.step, totalSteps)})`,
        `epoch ${row.epoch.toFixed(2)}`,
        `loss ${row.loss.toPrecision(4)}`,
        `lr ${rateText(row.learning_rate)}`,
        ...(row["grad_norm"] === undefined ? [] : [`grad_norm ${row["grad_norm"].toPrecision(3)}`]),
        ...(this.#tokensPerSecond === undefined ? [] : [`${countText(this.#tokensPerSecond)} tokens/s`]),
        ...(this.#last === undefined ? [] : [memoryText(this.#last.memoryBytes)]),
        `${duration(seconds)}, ${duration(left)} left`,
      ].join("  "),
    );
  }

  onEvaluate({ row, best }: Parameters<NonNullable<TrainerCallback["onEvaluate"]>>[0]): void {
    this.note(`step ${row.step}: ${evaluationText(row)}${best ? " (best so far)" : ""}`);
  }

  onSave({ path, removed }: Parameters<NonNullable<TrainerCallback["onSave"]>>[0]): void {
    const gone = removed.length === 0 ? "" : `, removed ${removed.map((one) => basename(one)).join(", ")}`;
    this.note(`saved ${path}${gone}`);
  }

  onSkip({
    step,
    reason,
    samples,
    sources,
    totalSkipped,
  }: Parameters<NonNullable<TrainerCallback["onSkip"]>>[0]): void {
    this.#totalSkipped = totalSkipped;
    if (this.#skips++ >= SKIPS_SHOWN) return;
    const where = sources.length === 0 ? "" : `: ${sources.slice(0, 3).join(", ")}${sources.length > 3 ? ", …" : ""}`;
    this.note(`step ${step}: skipped ${samples} ${samples === 1 ? "sample" : "samples"} (${reason})${where}`);
    if (this.#skips === SKIPS_SHOWN) this.note("further skips are counted, not shown");
  }

  onEnd({ reason, step, loss, elapsedMs, checkpoint, best }: EndEvent): void {
    if (reason === "finished") this.#bar?.finish();
    else this.#bar?.stop();
    this.#bar = undefined;
    if (this.#totalSkipped > 0) this.note(`skipped ${this.#totalSkipped} samples in all`);
    const words: Record<EndEvent["reason"], string> = {
      finished: "finished",
      "early-stopping": "stopped early, since the evaluations no longer got better,",
      interrupted: "interrupted",
      failed: "failed",
    };
    const mean = loss === undefined ? "" : `, mean loss ${loss.toPrecision(4)}`;
    const steps = step === 1 ? "a step" : `${step} steps`;
    this.note(`${words[reason]} after ${steps} in ${duration(elapsedMs / 1000)}${mean}`);
    if (best !== undefined) this.note(`took the best weights: those of step ${best}`);
    // An interrupted run can be gone on with whole, which its caller knows how to say.
    if (checkpoint !== undefined && reason === "failed") {
      this.note(`to go on from there: resume_from_checkpoint=${checkpoint}`);
    }
  }

  /** A line above the bar. */
  note(text: string): void {
    if (this.#bar !== undefined) this.#bar.note(text);
    else this.#stream.write(`${text}\n`);
  }
}
