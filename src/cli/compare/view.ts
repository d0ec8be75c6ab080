/** Shows a comparison in a terminal: a line for each job that ends, with the time that is left; while it runs, a bar. */
import type { Evaluations, JobResult, Measured } from "../../train/compare/result.ts";
import { isInteractive, type Output } from "../terminal/output.ts";
import { duration, Progress } from "../terminal/progress.ts";
import type { JobStep } from "./measure.ts";
import type { PlannedJob } from "./prepare.ts";

export class CompareView {
  readonly #log: Output;
  readonly #total: number;
  readonly #startedAt = performance.now();
  #done = 0;
  /** Of cells: bases are over sooner, and say nothing about how long the rest takes. */
  #cellsDone = 0;
  #cellSeconds = 0;
  #cellsLeft: number;
  #bar: Progress | undefined;

  constructor(log: Output, jobs: readonly PlannedJob[]) {
    this.#log = log;
    this.#total = jobs.length;
    this.#cellsLeft = jobs.filter(({ kind }) => kind === "cell").length;
  }

  start({ job, kind, budget }: PlannedJob): void {
    if (kind === "base" || !isInteractive(this.#log)) return;
    this.#bar = new Progress({ label: job, total: budget.steps, stream: this.#log });
  }

  step({ step, loss, tokensPerSecond }: JobStep): void {
    this.#bar?.update(step, { loss, "tokens/s": Math.round(tokensPerSecond) });
  }

  /** Nothing more is heard of the job at hand. */
  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  end({ job, kind }: PlannedJob, result: JobResult<Evaluations | Measured>): void {
    this.stop();
    this.#done++;
    if (kind === "cell") {
      this.#cellsDone++;
      this.#cellsLeft--;
      this.#cellSeconds += result.seconds;
    }
    const width = String(this.#total).length;
    const count = `[${String(this.#done).padStart(width)}/${this.#total}]`;
    const words =
      result.status === "failed" ? `failed: ${result.reason.split("\n")[0]!}` : measuredText(result.measured);
    const left = (this.#cellSeconds / Math.max(1, this.#cellsDone)) * this.#cellsLeft;
    const time = this.#cellsDone === 0 || this.#cellsLeft === 0 ? "" : `; ${duration(left)} left`;
    this.#log.write(`${count} ${job}: ${words} (${duration(result.seconds)}${time})\n`);
  }

  get elapsed(): string {
    return duration((performance.now() - this.#startedAt) / 1000);
  }
}

function measuredText(measured: Evaluations | Measured): string {
  const { task, pretraining } = measured;
  const parts = [
    ...("finalLoss" in measured ? [`loss ${measured.finalLoss.toFixed(3)}`] : []),
    `task ppl ${task.perplexity.toFixed(3)}`,
    ...(pretraining === null ? [] : [`pretraining ppl ${pretraining.perplexity.toFixed(3)}`]),
    ...("tokensPerSecond" in measured ? [`${Math.round(measured.tokensPerSecond)} tokens/s`] : []),
  ];
  return parts.join(", ");
}
