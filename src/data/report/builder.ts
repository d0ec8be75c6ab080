/** Counts samples, examples and rows as they come, in little memory. */
import type { ClassSet } from "../datasets/classes.ts";
import type { DatasetSummary } from "../datasets/open.ts";
import type { BadRow } from "../datasets/rows.ts";
import type { Sample, Source } from "../sample.ts";
import { REMARKS } from "../text/encode.ts";
import type { ChatTemplate } from "../text/templates.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { DataReport, Fate, Lengths, Place } from "./report.ts";
import { sampleView } from "./sample-view.ts";

export interface ReportOptions {
  readonly part: DataReport["part"];
  readonly stage: DataReport["stage"];
  /** Those of the part. */
  readonly datasets: readonly DatasetSummary[];
  readonly tokenizer: Pick<Tokenizer, "decode" | "idOf" | "specialTokens" | "stopIds">;
  readonly template: Pick<ChatTemplate, "name" | "origin" | "notes"> | undefined;
  readonly cutoffLen: number;
  readonly packed: boolean;
  readonly classes?: ClassSet;
}

/** An example, as the report needs it. */
interface Kept {
  readonly inputIds: Int32Array;
  readonly trained: Int32Array;
  readonly label?: number;
  readonly stopTrained: boolean;
  readonly truncatedFrom?: number;
  readonly remarks: readonly (keyof typeof REMARKS)[];
}

/** Places that are named for a reason; more would say no more. */
const PLACES = 3;
/** Samples that are shown. */
const SAMPLES = 3;
/** Reasons that are kept apart: a reason may quote the record, and then there is one for each. */
const REASONS = 50;

export class ReportBuilder {
  readonly #options: ReportOptions;
  readonly #read = new Map<string, { read: number; kept: number }>();
  readonly #dropped = new Fates();
  readonly #bad = new Fates();
  readonly #remarks = new Fates();
  readonly #truncated = { count: 0, tokensLost: 0, longest: 0, stopLost: 0, places: [] as Place[] };
  readonly #lengths = new Map<number, number>();
  /** The first of each data set: one of each is shown before a second of any. */
  readonly #samples = new Map<string, (Kept & { source: Source })[]>();
  readonly #unknown: { readonly token: string; readonly id: number } | undefined;
  readonly #classes: number[];
  #unknowns = 0;
  #examples = 0;
  #stopTrained = 0;
  #rows = 0;
  #tokens = 0;
  #trained = 0;

  constructor(options: ReportOptions) {
    this.#options = options;
    this.#classes = (options.classes?.names ?? []).map(() => 0);
    const { idOf, specialTokens, stopIds } = options.tokenizer;
    const token = specialTokens["unk_token"];
    const id = token === undefined ? undefined : idOf(token);
    // Some tokenizers name the end of a text here, because they can write everything.
    this.#unknown = token === undefined || id === undefined || stopIds.includes(id) ? undefined : { token, id };
  }

  bad({ source, reason }: BadRow): void {
    this.#of(source).read++;
    this.#bad.add(reason, source);
  }

  dropped({ source }: Sample, reason: string): void {
    this.#of(source).read++;
    this.#dropped.add(reason, source);
  }

  kept({ source }: Sample, example: Kept): void {
    const counts = this.#of(source);
    counts.read++;
    counts.kept++;
    this.#examples++;
    if (example.label !== undefined) this.#classes[example.label]!++;
    if (example.stopTrained) this.#stopTrained++;
    const length = example.inputIds.length;
    this.#lengths.set(length, (this.#lengths.get(length) ?? 0) + 1);
    if (this.#unknown !== undefined) this.#unknowns += countOf(this.#unknown.id, example.inputIds);
    if (example.truncatedFrom !== undefined) this.#cut(source, example, example.truncatedFrom);
    for (const remark of example.remarks) this.#remarks.add(REMARKS[remark], source);
    const shown = this.#samples.get(source.dataset) ?? [];
    if (shown.length < SAMPLES) this.#samples.set(source.dataset, [...shown, { ...example, source }]);
  }

  /** A row that is trained on. @param trained its tokens that are predicted */
  row(tokens: number, trained: number): void {
    this.#rows++;
    this.#tokens += tokens;
    this.#trained += trained;
  }

  /** @param firstRecords only so many were looked at */
  finish(firstRecords?: number): DataReport {
    const { part, stage, datasets, template, cutoffLen, packed, classes } = this.#options;
    const counts = [...this.#read.values()];
    const lengths = percentiles(this.#lengths, this.#examples);
    return {
      part,
      stage,
      datasets: datasets.map((summary) => {
        const { read = 0, kept = 0 } = this.#read.get(summary.name) ?? {};
        return { ...summary, part, read, kept };
      }),
      ...(firstRecords === undefined ? {} : { firstRecords }),
      ...(template === undefined
        ? {}
        : { template: { name: template.name, origin: template.origin, notes: template.notes } }),
      cutoffLen,
      read: counts.reduce((sum, { read }) => sum + read, 0),
      examples: this.#examples,
      dropped: this.#dropped.list(),
      bad: this.#bad.list(),
      truncated: { ...this.#truncated },
      remarks: this.#remarks.list(),
      tokens: { total: this.#tokens, trained: this.#trained },
      ...(lengths === undefined ? {} : { lengths }),
      ...(this.#unknown === undefined || this.#unknowns === 0
        ? {}
        : { unknown: { token: this.#unknown.token, count: this.#unknowns } }),
      ...(classes === undefined
        ? {}
        : {
            classes: {
              why: classes.why,
              counts: classes.names.map((label, i) => ({ label, count: this.#classes[i]! })),
            },
          }),
      stopTrained: this.#stopTrained,
      rows: { count: this.#rows, packed, fill: this.#rows === 0 ? 0 : this.#tokens / (this.#rows * cutoffLen) },
      samples: this.#chosen().map((sample) => ({
        ...sampleView(sample, this.#options.tokenizer, cutoffLen),
        ...(sample.label === undefined ? {} : { label: classes!.names[sample.label]! }),
      })),
    };
  }

  #cut(source: Source, { inputIds, stopTrained, label }: Kept, from: number): void {
    const truncated = this.#truncated;
    truncated.count++;
    truncated.tokensLost += from - inputIds.length;
    truncated.longest = Math.max(truncated.longest, from);
    if (!stopTrained && label === undefined) truncated.stopLost++;
    if (truncated.places.length < PLACES) truncated.places.push(placeOf(source));
  }

  #chosen(): (Kept & { source: Source })[] {
    const lists = [...this.#samples.values()];
    const inTurn = Array.from({ length: SAMPLES }, (_, i) => lists.map((list) => list[i])).flat();
    return inTurn.filter((sample) => sample !== undefined).slice(0, SAMPLES);
  }

  #of({ dataset }: Source): { read: number; kept: number } {
    const known = this.#read.get(dataset);
    if (known !== undefined) return known;
    const counts = { read: 0, kept: 0 };
    this.#read.set(dataset, counts);
    return counts;
  }
}

class Fates {
  readonly #reasons = new Map<string, { count: number; places: Place[] }>();

  add(reason: string, source: Source): void {
    const isNew = !this.#reasons.has(reason);
    const name = isNew && this.#reasons.size >= REASONS ? "other reasons" : reason;
    const fate = this.#reasons.get(name) ?? { count: 0, places: [] };
    fate.count++;
    if (fate.places.length < PLACES) fate.places.push(placeOf(source));
    this.#reasons.set(name, fate);
  }

  /** The most frequent first. */
  list(): Fate[] {
    return [...this.#reasons]
      .map(([reason, { count, places }]) => ({ reason, count, places }))
      .toSorted((a, b) => b.count - a.count);
  }
}

function placeOf({ file, line }: Source): Place {
  return `${file}:${line}`;
}

function countOf(id: number, ids: Int32Array): number {
  let count = 0;
  for (const found of ids) if (found === id) count++;
  return count;
}

/** By the nearest rank: a length that there is. @param counts number of examples by length */
function percentiles(counts: ReadonlyMap<number, number>, total: number): Lengths | undefined {
  const ascending = [...counts].toSorted(([a], [b]) => a - b);
  if (ascending.length === 0) return undefined;
  const at = (share: number): number => {
    let left = Math.max(1, Math.ceil(share * total));
    for (const [length, count] of ascending) {
      left -= count;
      if (left <= 0) return length;
    }
    return ascending.at(-1)![0];
  };
  return { min: at(0), p5: at(0.05), p50: at(0.5), p95: at(0.95), max: at(1) };
}
