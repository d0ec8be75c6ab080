/** The table of a comparison, for people. */
import type { Budget } from "./comparison.ts";
import { byTask, type Row, type Spread } from "./summary.ts";

export interface Report {
  /** Name of the comparison's file. */
  readonly title: string;
  readonly model: string;
  readonly data: string;
  readonly evaluated: string;
  /** What the forgetting is measured on; undefined: it is not. */
  readonly pretraining: string | undefined;
  readonly seeds: readonly number[];
  /** Of the first seed. */
  readonly budget: Budget;
  readonly machine: string;
  readonly rows: readonly Row[];
  readonly notes: readonly string[];
  /** Names of the pictures, in the same folder. */
  readonly pictures: readonly string[];
}

export function reportMarkdown(report: Report): string {
  const { title, budget, rows, seeds, pretraining, notes, pictures } = report;
  const failed = rows.filter(({ failures }) => failures.length > 0);
  const shown = byTask(rows).filter(({ finished, failures }) => finished > 0 || failures.length > 0);
  const facts = [
    `base: ${report.model}`,
    `trained on: ${report.data}; evaluated on: ${report.evaluated}`,
    ...(pretraining === undefined ? [] : [`text that stands for the base's pretraining: ${pretraining}`]),
    `each run: ${whole(budget.tokens)} tokens in ${whole(budget.steps)} steps; seeds ${seeds.join(", ")}`,
    report.machine,
  ];
  return [
    `# ${title}`,
    facts.map((fact) => `- ${fact}`).join("\n"),
    ...pictures.map((picture) => `![](${picture})`),
    tableOf(shown, pretraining !== undefined),
    legend(seeds.length, pretraining !== undefined),
    ...(failed.length === 0 ? [] : ["## Failed", failed.flatMap(failuresOf).join("\n")]),
    ...(notes.length === 0 ? [] : ["## Notes", notes.map((note) => `- ${note}`).join("\n")]),
  ]
    .join("\n\n")
    .concat("\n");
}

function tableOf(rows: readonly Row[], hasPretraining: boolean): string {
  const header = [
    "method",
    "storage",
    "learning rate",
    "trainable",
    "saved",
    "train loss",
    "task ppl before",
    "after",
    ...(hasPretraining ? ["pretraining ppl before", "after"] : []),
    "tokens/s",
    "peak memory",
  ];
  const lines = rows.map((row) => [
    row.cell,
    row.storage,
    row.learningRate.toExponential().replace("e-", "e-0").replace("e-00", "e-0"),
    row.trainableParameters === undefined ? "-" : whole(row.trainableParameters),
    row.savedBytes === undefined ? "-" : bytesText(row.savedBytes),
    spreadText(row.finalLoss, 3),
    spreadText(withoutSd(row.taskBefore), 3),
    row.task === undefined ? "failed" : spreadText(row.task, 3),
    ...(hasPretraining ? [spreadText(withoutSd(row.pretrainingBefore), 3), spreadText(row.pretraining, 3)] : []),
    spreadText(row.tokensPerSecond, 0),
    row.peakBytes === undefined ? "-" : bytesText(row.peakBytes.mean),
  ]);
  const bar = header.map((_, i) => (i < 2 ? "---" : "---:"));
  return [header, bar, ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function legend(seeds: number, hasPretraining: boolean): string {
  return [
    "train loss: nats per token, mean of the last tenth of the steps; a method's penalty is in it.",
    "ppl: perplexity on samples that were not trained on.",
    ...(hasPretraining ? ["A pretraining ppl that grows is forgetting."] : []),
    "saved: the safetensors file of the adapter, or of the model.",
    "tokens/s: of the data, without the first steps. peak memory: resident, of the process while it trains.",
    ...(seeds > 1 ? ["±: standard deviation over seeds."] : []),
  ].join(" ");
}

function failuresOf({ cell, storage, failures }: Row): string[] {
  return failures.map(({ seed, reason }) => {
    const [first = "", ...others] = reason.split("\n").map((line) => line.trim());
    return `- ${cell}, ${storage}, seed ${seed}: ${[first, ...others.slice(0, 2)].join("; ")}`;
  });
}

/** `1.234 ± 0.012`; a dash where there is nothing. */
export function spreadText(value: Spread | undefined, digits: number): string {
  if (value === undefined) return "-";
  const { mean, sd } = value;
  return sd === null ? grouped(mean, digits) : `${grouped(mean, digits)} ± ${grouped(sd, digits)}`;
}

function withoutSd(value: Spread | undefined): Spread | undefined {
  return value === undefined ? undefined : { ...value, sd: null };
}

function grouped(value: number, digits: number): string {
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function whole(value: number): string {
  return grouped(value, 0);
}

/** In decimal units, three digits. */
export function bytesText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  // 999.5 and more would become 1000.
  const unit = Math.max(
    0,
    units.findIndex((_, i) => bytes < 999.5 * 1000 ** i),
  );
  return `${unit === 0 ? bytes : (bytes / 1000 ** unit).toPrecision(3)} ${units[unit]}`;
}
