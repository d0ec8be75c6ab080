/**
 * The log of a run: transformers' `log_history` in memory, and LLaMA-Factory's `trainer_log.jsonl`, one line for each row,
 * written at once.
 */
import { appendFile, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { asFormatError } from "../../formats/safetensors/source.ts";
import { errorCode, replaceFile } from "./durable-file.ts";
import { type EvalRow, type LogRow, round, type SpeedCounts, speedMetrics, type TrainRow } from "./log-rows.ts";
import { pythonJson } from "./python-json.ts";

export const LOG_FILE = "trainer_log.jsonl";

export interface RunLogOptions {
  /** Absent: no file is written. */
  readonly outputDir?: string | undefined;
  /** Optimizer steps of the whole run. */
  readonly totalSteps: number;
  /** The part of the run that was saved; rows of later steps are dropped from the file. Default: a new run. */
  readonly resume?: {
    readonly step: number;
    readonly history: readonly LogRow[];
    readonly tokensSeen: number;
    readonly elapsedMs: number;
  };
  /** Milliseconds on a clock that does not go back. Default: `performance.now`. */
  readonly now?: () => number;
}

/** Where the run is when a row is logged. */
interface Moment {
  readonly step: number;
  readonly epoch: number;
  /** Tokens since the start of the run. Default: not counted, then there is no throughput. */
  readonly tokensSeen?: number;
}

export interface TrainEntry extends Moment {
  readonly loss: number;
  readonly learningRate: number;
  /** Global norm before clipping, if it is known. */
  readonly gradNorm?: number;
}

export interface EvalEntry extends Moment {
  /** Mean over the supervised tokens of the evaluation set. */
  readonly loss: number;
  readonly speed: SpeedCounts;
  /** Whether the loss has a perplexity: of classes it has none. Default: true. */
  readonly hasPerplexity?: boolean;
  /** Further metrics, named without `eval_`. */
  readonly metrics?: Readonly<Record<string, number>>;
}

export interface FinalEntry extends Moment {
  /** Mean over the whole run. */
  readonly loss: number;
  /** Counts of this part of the run, as transformers gives them; its runtime is measured here. */
  readonly speed?: Omit<SpeedCounts, "runtimeMs">;
  /** Default: 0, not estimated. */
  readonly totalFlos?: number;
}

export class RunLog {
  readonly #path: string | undefined;
  readonly #totalSteps: number;
  readonly #rows: LogRow[];
  readonly #now: () => number;
  readonly #startedAt: number;
  readonly #before: { readonly step: number; readonly tokensSeen: number; readonly elapsedMs: number };

  private constructor({ outputDir, totalSteps, resume, now = () => performance.now() }: RunLogOptions) {
    this.#path = outputDir === undefined ? undefined : join(outputDir, LOG_FILE);
    this.#totalSteps = totalSteps;
    this.#rows = resume === undefined ? [] : [...resume.history];
    this.#now = now;
    this.#startedAt = now();
    this.#before = resume ?? { step: 0, tokensSeen: 0, elapsedMs: 0 };
  }

  /**
   * Starts the file anew, or cuts it behind the step that the run goes on from.
   * @throws FormatError if the disk refuses, now and at every row
   */
  static async open(options: RunLogOptions): Promise<RunLog> {
    const log = new RunLog(options);
    if (log.#path === undefined) return log;
    const step = options.resume?.step;
    const lines = step === undefined ? [] : (await linesOf(log.#path)).filter((line) => isUpTo(line, step));
    await replaceFile(log.#path, lines.map((line) => `${line}\n`).join(""));
    return log;
  }

  /** What transformers calls `log_history`, oldest first. */
  get history(): readonly LogRow[] {
    return this.#rows;
  }

  /** Time since the start of the run, in all its parts. */
  get elapsedMs(): number {
    return this.#before.elapsedMs + this.#now() - this.#startedAt;
  }

  async train({ step, epoch, loss, learningRate, gradNorm, tokensSeen }: TrainEntry): Promise<TrainRow> {
    const norm = gradNorm === undefined ? {} : { grad_norm: gradNorm };
    const row = { epoch, ...norm, learning_rate: learningRate, loss, step };
    await this.#add(row, tokensSeen);
    return row;
  }

  /** Perplexity is the exponential of the loss: `eval_perplexity`. */
  async evaluate({
    step,
    epoch,
    loss,
    speed,
    hasPerplexity = true,
    metrics = {},
    tokensSeen,
  }: EvalEntry): Promise<EvalRow> {
    const further = Object.fromEntries(Object.entries(metrics).map(([name, value]) => [`eval_${name}`, value]));
    const losses = { eval_loss: loss, ...(hasPerplexity ? { eval_perplexity: Math.exp(loss) } : {}) };
    const row = { epoch, ...losses, ...further, ...speedMetrics("eval", speed), step };
    await this.#add(row, tokensSeen);
    return row;
  }

  /** What a callback measured. */
  async measured({ step, epoch, tokensSeen }: Moment, metrics: Readonly<Record<string, number>>): Promise<LogRow> {
    const row = { epoch, ...metrics, step };
    await this.#add(row, tokensSeen, metrics);
    return row;
  }

  /** The last row of a run: its mean loss and its speed. */
  async finish({ step, epoch, loss, speed = {}, totalFlos = 0, tokensSeen }: FinalEntry): Promise<LogRow> {
    const runtimeMs = this.#now() - this.#startedAt;
    const speeds = speedMetrics("train", { ...speed, runtimeMs });
    const row = { epoch, step, total_flos: totalFlos, train_loss: loss, ...speeds };
    await this.#add(row, tokensSeen);
    return row;
  }

  /** @param more what the line of the file has besides */
  async #add(row: LogRow, tokensSeen: number | undefined, more: Readonly<Record<string, number>> = {}): Promise<void> {
    this.#rows.push(row);
    if (this.#path === undefined) return;
    const seconds = (this.#now() - this.#startedAt) / 1000;
    const steps = row.step - this.#before.step;
    const tokens = tokensSeen === undefined ? undefined : tokensSeen - this.#before.tokensSeen;
    const line = {
      current_steps: row.step,
      total_steps: this.#totalSteps,
      loss: row["loss"],
      eval_loss: row["eval_loss"],
      accuracy: row["eval_accuracy"],
      lr: row["learning_rate"],
      ...more,
      epoch: row.epoch,
      percentage: this.#totalSteps === 0 ? 100 : round((row.step / this.#totalSteps) * 100, 2),
      elapsed_time: timedelta(this.elapsedMs / 1000),
      // Of this part of the run, whose machine and speed are those of the rest.
      remaining_time: timedelta(steps > 0 ? (seconds / steps) * Math.max(0, this.#totalSteps - row.step) : 0),
      throughput: tokens === undefined || seconds <= 0 ? undefined : round(tokens / seconds, 2),
      total_tokens: tokensSeen,
    };
    try {
      await appendFile(this.#path, `${pythonJson(line, { sortKeys: false })}\n`);
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw asFormatError(error, this.#path, "cannot be written");
      // Somebody removed the folder: the rest of the log is worth having.
      await mkdir(join(this.#path, ".."), { recursive: true });
      await replaceFile(this.#path, `${pythonJson(line, { sortKeys: false })}\n`);
    }
  }
}

/** Seconds as Python shows a `timedelta`: `0:00:10`, `1 day, 2:03:04`. */
export function timedelta(seconds: number): string {
  const whole = Math.floor(seconds);
  const days = Math.floor(whole / 86_400);
  const two = (value: number) => String(value % 60).padStart(2, "0");
  const time = `${Math.floor(whole / 3600) % 24}:${two(Math.floor(whole / 60))}:${two(whole)}`;
  return days === 0 ? time : `${days} day${days === 1 ? "" : "s"}, ${time}`;
}

async function linesOf(path: string): Promise<string[]> {
  try {
    return (await readFile(path, "utf8")).split("\n");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw asFormatError(error, path, "cannot be read");
  }
}

/** A process that is killed can leave half a line, which is no JSON. */
function isUpTo(line: string, step: number): boolean {
  try {
    const { current_steps } = JSON.parse(line) as { current_steps?: unknown };
    return typeof current_steps === "number" && current_steps <= step;
  } catch {
    return false;
  }
}
