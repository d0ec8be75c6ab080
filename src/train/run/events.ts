/**
 * What a run tells those who watch it: a progress bar, TensorBoard, a test. A watcher has the methods that it cares about;
 * the run waits for those that return a promise, and an error that one throws ends it.
 */
import type { UsableContext } from "../../lm/usable-context.ts";
import type { EvalRow, LogRow } from "./log-rows.ts";

/** Where the optimizer's states are; bytes. */
export interface OptimizerPaging {
  readonly resident: number;
  readonly paged: number;
  /** The largest part of `paged` that is in memory at a time. */
  readonly atOnce: number;
}

export interface StartEvent {
  readonly outputDir: string;
  /** Optimizer steps of the whole run. */
  readonly totalSteps: number;
  readonly totalEpochs: number;
  /** Steps taken before: 0 for a new run. */
  readonly startStep: number;
  /** Tokens seen before: 0 for a new run. */
  readonly startTokens: number;
  /** Rows of the log so far: none for a new run. */
  readonly history?: readonly LogRow[];
  /** Path of the checkpoint that the run goes on from. */
  readonly resumedFrom?: string;
  readonly trainableParameters: number;
  readonly allParameters: number;
  /** What virtual tokens leave of the model's positions. Absent: there are none. */
  readonly context?: UsableContext;
  /** Absent: nothing of the optimizer is paged. */
  readonly paging?: OptimizerPaging;
  /** The settings by their names in the configuration. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** An optimizer step has been taken. */
export interface StepEvent {
  /** From 1. */
  readonly step: number;
  readonly epoch: number;
  /** Of this step alone. */
  readonly loss: number;
  readonly learningRate: number;
  readonly gradNorm?: number;
  /** Tokens since the start of the run. */
  readonly tokensSeen: number;
  /** Resident memory of the process. */
  readonly memoryBytes: number;
}

/** An optimizer step has been taken, and may be looked at. */
export interface MeasureEvent {
  /** From 1. */
  readonly step: number;
  readonly epoch: number;
  /** Optimizer steps of the whole run. */
  readonly totalSteps: number;
}

export interface LogEvent {
  /** A row of training, of an evaluation, or the last one of the run. */
  readonly row: LogRow;
  readonly tokensSeen: number;
}

export interface EvaluateEvent {
  readonly row: EvalRow;
  /** Whether no evaluation was better. */
  readonly best: boolean;
}

export interface SaveEvent {
  readonly step: number;
  /** Of the checkpoint. */
  readonly path: string;
  /** Paths of older checkpoints that were removed. */
  readonly removed: readonly string[];
}

/** Samples were left out. */
export interface SkipEvent {
  /** The step that they were for, from 1. */
  readonly step: number;
  /** In a few words: `no token to train on`. */
  readonly reason: string;
  readonly samples: number;
  /** Samples that were left out since the start of the run. */
  readonly totalSkipped: number;
  /** Where they come from, if it is known: `file:line`. */
  readonly sources: readonly string[];
}

export interface EndEvent {
  readonly reason: "finished" | "early-stopping" | "interrupted" | "failed";
  readonly step: number;
  /** Mean loss of the whole run; absent if it failed. */
  readonly loss?: number;
  readonly elapsedMs: number;
  /** Path of the newest checkpoint, from which the run can go on. */
  readonly checkpoint?: string;
  /** The step whose weights the run ended with, where those were the best ones and not the last. */
  readonly best?: number;
}

type Handler<E> = (event: E) => void | Promise<void>;

export interface TrainerEvents {
  readonly onStart: StartEvent;
  readonly onStep: StepEvent;
  readonly onLog: LogEvent;
  readonly onEvaluate: EvaluateEvent;
  readonly onSave: SaveEvent;
  readonly onSkip: SkipEvent;
  readonly onEnd: EndEvent;
}

type Handlers = { [K in keyof TrainerEvents]?: Handler<TrainerEvents[K]> };

export type TrainerCallback = Handlers & {
  /**
   * Looks at the model after a step, and leaves it as it is. What it returns becomes a row of the log; undefined: there is
   * nothing to say at this step.
   */
  measure?: (event: MeasureEvent) => Promise<Readonly<Record<string, number>> | undefined>;
};

/** Tells each callback in turn. */
export async function emit<K extends keyof TrainerEvents>(
  callbacks: readonly TrainerCallback[],
  name: K,
  event: TrainerEvents[K],
): Promise<void> {
  for (const callback of callbacks) await (callback as Handlers)[name]?.(event);
}
