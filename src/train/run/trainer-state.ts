/** `trainer_state.json`, as transformers' `TrainerState` writes it and reads it back. */
import { join } from "node:path";
import { FormatError } from "../../errors.ts";
import { readJson, replaceFile } from "./durable-file.ts";
import type { LogRow } from "./log-rows.ts";
import { type Json, pythonJson } from "./python-json.ts";

export const STATE_FILE = "trainer_state.json";

export interface TrainerState {
  readonly globalStep: number;
  readonly epoch: number;
  readonly maxSteps: number;
  readonly numTrainEpochs: number;
  readonly trainBatchSize: number;
  readonly loggingSteps: number;
  readonly saveSteps: number;
  readonly evalSteps: number;
  /** Default: 0, tokens were not counted. */
  readonly numInputTokensSeen?: number;
  /** Default: 0, not estimated. */
  readonly totalFlos?: number;
  readonly logHistory: readonly LogRow[];
  /** Value, step and checkpoint of the best evaluation. Default: null, there was none. */
  readonly bestMetric?: number | null;
  readonly bestGlobalStep?: number | null;
  readonly bestModelCheckpoint?: string | null;
  /** Of callbacks such as `EarlyStoppingCallback`, by name. Default: none. */
  readonly statefulCallbacks?: Readonly<Record<string, Json>>;
}

/** transformers writes integers for the intervals, the step and the sizes, whatever they were given as. */
export async function writeTrainerState(dir: string, state: TrainerState): Promise<void> {
  const wire = {
    best_global_step: state.bestGlobalStep ?? null,
    best_metric: state.bestMetric ?? null,
    best_model_checkpoint: state.bestModelCheckpoint ?? null,
    epoch: state.epoch,
    eval_steps: state.evalSteps,
    global_step: state.globalStep,
    is_hyper_param_search: false,
    is_local_process_zero: true,
    is_world_process_zero: true,
    log_history: state.logHistory,
    logging_steps: state.loggingSteps,
    max_steps: state.maxSteps,
    num_input_tokens_seen: state.numInputTokensSeen ?? 0,
    num_train_epochs: state.numTrainEpochs,
    save_steps: state.saveSteps,
    stateful_callbacks: state.statefulCallbacks ?? {},
    total_flos: state.totalFlos ?? 0,
    train_batch_size: state.trainBatchSize,
    trial_name: null,
    trial_params: null,
  };
  await replaceFile(join(dir, STATE_FILE), `${pythonJson(wire, { indent: 2 })}\n`);
}

/** @throws FormatError if the file is missing or not the state of a trainer */
export async function readTrainerState(dir: string): Promise<TrainerState> {
  const path = join(dir, STATE_FILE);
  const wire = await readJson(path);
  const fields = (typeof wire === "object" && wire !== null ? wire : {}) as Readonly<Record<string, unknown>>;
  const wrong: string[] = [];
  const number = (key: string, fallback?: number): number => {
    const value = fields[key] ?? fallback;
    if (typeof value === "number") return value;
    wrong.push(`${key} is ${JSON.stringify(value) ?? "missing"}`);
    return 0;
  };
  const rows = fields["log_history"];
  if (!Array.isArray(rows) || !rows.every(isRow)) wrong.push("log_history is not a list of rows with a step");
  const bestMetric = fields["best_metric"];
  const bestModelCheckpoint = fields["best_model_checkpoint"];
  const state: TrainerState = {
    globalStep: number("global_step"),
    epoch: number("epoch"),
    maxSteps: number("max_steps", 0),
    numTrainEpochs: number("num_train_epochs", 0),
    trainBatchSize: number("train_batch_size", 0),
    loggingSteps: number("logging_steps", 0),
    saveSteps: number("save_steps", 0),
    evalSteps: number("eval_steps", 0),
    numInputTokensSeen: number("num_input_tokens_seen", 0),
    totalFlos: number("total_flos", 0),
    logHistory: wrong.length > 0 ? [] : (rows as LogRow[]),
    bestMetric: typeof bestMetric === "number" ? bestMetric : null,
    bestGlobalStep: typeof fields["best_global_step"] === "number" ? fields["best_global_step"] : null,
    bestModelCheckpoint: typeof bestModelCheckpoint === "string" ? bestModelCheckpoint : null,
    statefulCallbacks: (fields["stateful_callbacks"] ?? {}) as Readonly<Record<string, Json>>,
  };
  if (wrong.length > 0) {
    throw new FormatError({ where: path, what: "is not the state of a trainer", got: wrong.join("; ") });
  }
  return state;
}

function isRow(row: unknown): boolean {
  return typeof row === "object" && row !== null && "step" in row && typeof row.step === "number";
}
