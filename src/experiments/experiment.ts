/**
 * The contract of an experiment: small jobs, most of them training runs with named settings and a seed, and a conclusion that is
 * computed from their results and from nothing else. One file per experiment in `definitions/`, one line in `index.ts`.
 *
 * Jobs are plain data. Their results are kept in a pool under a hash of all that decides them, so that experiments share jobs,
 * and one that was interrupted goes on.
 */

/** JSON: what settings and results are made of. Numbers are finite; what could not be computed is null. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

/** What one kind of job does. There are few: train, change weights and evaluate, a sequence of tasks. */
export interface JobKind<S, R> {
  /** In the names of files: `train`. */
  readonly name: string;
  /** Raised when the same settings come to give another result. */
  readonly version: number;
  /** In one line, for progress: `mnli lora r=8 seed 0`. Need not be unique. */
  label(settings: S): string;
  /** Seconds on two quiet cores, roughly: for the time that is left. Default: 10. */
  seconds?(settings: S): number;
  /** Hashes of what the result depends on besides the settings: files of the model, rows of the task. Default: none. */
  depends?(settings: S): Promise<readonly string[]>;
  /** Jobs whose results, or files, it reads. They run before it. Default: none. */
  needs?(settings: S): readonly Job[];
  /** @throws anything: the job has failed then, with that message, and the others go on */
  run(settings: S, context: JobContext): Promise<R>;
}

/** A job to be done: its kind, and settings that are JSON. Two with the same kind and settings are one. */
export interface Job<S = unknown, R = unknown> {
  readonly kind: JobKind<S, R>;
  readonly settings: S;
}

/** @param settings plain data: what is undefined in it is as if absent */
export function job<S, R>(kind: JobKind<S, R>, settings: S): Job<S, R> {
  return { kind, settings };
}

export interface JobContext {
  /** Files that it may keep for jobs that need it: an empty folder, which is moved to its place when the job is done. */
  readonly folder: string;
  /**
   * A folder, to be made by whoever writes, in which a long job keeps what it needs to go on: there again after an interruption, of
   * the same job and code, and removed when the job is done.
   */
  readonly state: string;
  /** Result, and folder, of a job that it {@link JobKind.needs}. */
  done<S, R>(needed: Job<S, R>): { readonly result: R; readonly folder: string };
  readonly signal: AbortSignal | undefined;
  /** Threads of the engine; undefined: one per core. */
  readonly threads: number | undefined;
  /** What part of it is done, 0 to 1. */
  progress(fraction: number): void;
}

/** How much is run. */
export interface Scale {
  /** Default: 0, 1, 2; one of them when quick. */
  readonly seeds: readonly number[];
  /** Fewer points: enough to see that everything works, too few for a verdict. */
  readonly quick: boolean;
}

export interface Experiment {
  /** On the command line: `rank`. */
  readonly name: string;
  readonly title: string;
  /** What is asked, in a line. */
  readonly about: string;
  /** Paper and section. */
  readonly source: string;
  /** Of the full form, with three seeds, on two cores that have nothing else to do, about. */
  readonly minutes: number;
  /** What was chosen and how, in sentences for the report: task, data, steps, learning rates. */
  readonly setting: readonly string[];
  jobs(scale: Scale): readonly Job[];
  /** @param results of the jobs that finished: a claim without its data is "inconclusive", and says what is missing */
  conclude(results: Results, scale: Scale): Conclusion | Promise<Conclusion>;
}

export interface Results {
  /** Undefined: the job has failed, or has not run. */
  of<S, R>(wanted: Job<S, R>): R | undefined;
  /** Folder of the files that it kept. @throws Error if it has not finished */
  folder(wanted: Job): string;
}

export interface Conclusion {
  readonly claims: readonly Claim[];
  readonly figures: readonly ExperimentFigure[];
  /** Numbers behind claims and figures, in rows that a person can read. */
  readonly tables: readonly ExperimentTable[];
  /**
   * What was measured here, on weights that jobs kept, and is in the result of no job: unrounded, for files beside the page.
   * Default: nothing.
   */
  readonly measurements?: readonly ExperimentTable[];
  /** What a reader has to know: what could not be tested here, and why. Default: nothing. */
  readonly notes?: readonly string[];
}

export type Holds = "yes" | "no" | "inconclusive";

/** One row of "published direction / found / holds?". */
export interface Claim {
  /** In a sentence that can be wrong. */
  readonly claim: string;
  /** Paper, version, section, figure. */
  readonly source: string;
  /** What was published, with its numbers. */
  readonly published: string;
  /** What was found: numbers with their spread over seeds. */
  readonly found: string;
  readonly holds: Holds;
  /** How `holds` was decided. */
  readonly rule: string;
  /** On what: with the rule it gives `holds` again. One for each of several that the claim asks for. */
  readonly evidence: readonly Evidence[];
}

/** The numbers that decided, unrounded: one per seed in the order of the seeds (or of what takes their place), NaN where a job failed. */
export type Evidence = DifferenceEvidence | CorrelationEvidence;

export interface DifferenceEvidence {
  /** Which of several: `r = 8`. */
  readonly of?: string;
  /** Whether values are above, or below, `against` by more than `margin`; or the same within `margin`. */
  readonly test: "above" | "below" | "same";
  readonly values: readonly number[];
  /** One for each of the values, or a level for all. */
  readonly against: readonly number[] | number;
  readonly margin: number;
  /** Of values − against, over the seeds that have both. */
  readonly mean_difference: number;
  /** Of that mean; infinite for a single seed. */
  readonly standard_error: number;
  /** Seeds that have both. */
  readonly n: number;
  readonly holds: Holds;
}

export interface CorrelationEvidence {
  readonly of?: string;
  /** Whether ranks of x and y go together (`positive`), or have nothing to do with each other (`none`). */
  readonly test: "positive correlation" | "no correlation";
  readonly x: readonly number[];
  readonly y: readonly number[];
  /** Spearman's; NaN where there are too few pairs. */
  readonly rho: number;
  /** Two-sided. */
  readonly p: number;
  readonly n: number;
  readonly holds: Holds;
}

export interface ExperimentFigure {
  /** File name without its ending: `intruders-by-rank`. */
  readonly name: string;
  readonly title: string;
  /** What to see, in a sentence or two. */
  readonly caption: string;
  /** A function is called when the report is written; where it finds nothing to draw (ConfigError), the figure is left out. */
  readonly chart: Chart | (() => Chart);
}

/** A picture, and the numbers that it was drawn from. */
export interface Chart {
  readonly svg: string;
  readonly data: {
    /** With units, if they have one. */
    readonly columns: readonly string[];
    /** As many cells as columns, not rounded. */
    readonly rows: readonly (readonly Cell[])[];
  };
}

/** Null: there is none. */
export type Cell = string | number | null;

export interface ExperimentTable {
  readonly name: string;
  readonly title: string;
  readonly columns: readonly string[];
  /** As many cells as columns; null is shown as a dash. */
  readonly rows: readonly (readonly Cell[])[];
}
