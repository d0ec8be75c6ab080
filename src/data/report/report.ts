/** What a model will really see: what became of the samples, in numbers and in examples. */
import type { DatasetSummary } from "../datasets/open.ts";
import type { Source } from "../sample.ts";

/** A place in a file, as messages write it: `file:line`. */
export type Place = string;

/** Samples with the same fate, and the first of their places. */
export interface Fate {
  readonly reason: string;
  readonly count: number;
  readonly places: readonly Place[];
}

export interface DatasetReport extends DatasetSummary {
  readonly read: number;
  readonly kept: number;
}

/** Text with or without a loss. */
export interface Segment {
  readonly text: string;
  readonly trained: boolean;
}

export interface SampleView {
  readonly source: Source;
  /** Tokens that the model sees of it. */
  readonly tokens: number;
  readonly trained: number;
  /** Tokens of `text`; fewer than `tokens` where a long text goes on in other rows. */
  readonly shown: number;
  /** The text of the tokens, special ones included. */
  readonly text: string;
  /** The same, cut where training begins and ends. */
  readonly segments: readonly Segment[];
  /** Name of its class. */
  readonly label?: string;
}

/** The classes of a run, and how many examples each has. */
export interface ClassCounts {
  /** Where the names and their order are from. */
  readonly why: string;
  readonly counts: readonly { readonly label: string; readonly count: number }[];
}

/** Lengths in tokens. */
export interface Lengths {
  readonly min: number;
  readonly p5: number;
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
}

/** All of it can be written as JSON. */
export interface DataReport {
  readonly part: "train" | "validation";
  readonly stage: "sft" | "pt" | "cls";
  readonly datasets: readonly DatasetReport[];
  /** Absent: the whole. Else only so many records were looked at, as the data is streamed. */
  readonly firstRecords?: number;
  readonly template?: { readonly name: string; readonly origin: "model" | "named"; readonly notes: readonly string[] };
  readonly cutoffLen: number;
  /** Records; those that were kept are the `examples`. read = examples + dropped + bad. */
  readonly read: number;
  readonly examples: number;
  /** Samples that give no example, by reason. */
  readonly dropped: readonly Fate[];
  /** Records that are no samples, by reason. */
  readonly bad: readonly Fate[];
  /** Examples that were cut to `cutoffLen` tokens. */
  readonly truncated: {
    readonly count: number;
    readonly tokensLost: number;
    /** Tokens of the longest one, before it was cut. */
    readonly longest: number;
    /** Of them, those that no longer end with a stop token. */
    readonly stopLost: number;
    readonly places: readonly Place[];
  };
  /** What else is to be known of examples that were kept; `reason` fits after their number. */
  readonly remarks: readonly Fate[];
  /** Of one pass over the rows. */
  readonly tokens: { readonly total: number; readonly trained: number };
  /** Of examples. Absent where there are none. */
  readonly lengths?: Lengths;
  /** The token that stands for what the tokenizer has no token for, where examples have it, and how often. */
  readonly unknown?: { readonly token: string; readonly count: number };
  /** Only with stage cls. */
  readonly classes?: ClassCounts;
  /** Examples whose last trained token is a stop token. */
  readonly stopTrained: number;
  readonly rows: {
    readonly count: number;
    readonly packed: boolean;
    /** Share of `count * cutoffLen` that is filled. */
    readonly fill: number;
  };
  readonly samples: readonly SampleView[];
}

/** Of samples with the same fate. */
export function countFates(fates: readonly Fate[]): number {
  return fates.reduce((sum, { count }) => sum + count, 0);
}
