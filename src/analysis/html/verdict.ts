/** What an analysis means for a person who fine-tunes: how much was found, what it says, what to do. */
import type { Fact, Verdict } from "../../figures/page/page.ts";
import { percentText } from "../../figures/percent.ts";
import { nothingChanged } from "../nothing-changed.ts";
import type { AnalysisReport, MatrixReport } from "../report.ts";

/**
 * Intruders of all vectors that were looked at from which on the verdict is "many". Our own line: the papers give none. At it, a matrix of
 * k = 10 has one intruder on average.
 */
const MANY = 0.1;

/** Whether a report has many intruders: a tenth of the vectors that were looked at, or some in most of the matrices. */
export function hasMany({ matrices, total_intruders: total }: AnalysisReport): boolean {
  const affected = matrices.filter(({ intruders }) => intruders > 0).length;
  return (total ?? 0) >= MANY * lookedAt(matrices) || affected > matrices.length / 2;
}

/** Vectors. */
function lookedAt(matrices: readonly MatrixReport[]): number {
  return matrices.reduce((sum, { k, max_cos }) => sum + Math.min(k, max_cos.length), 0);
}

export function verdictOf(report: AnalysisReport): Verdict {
  const { matrices, total_intruders: total, settings, tuned } = report;
  const { k, epsilon } = settings;
  if (matrices.length === 0) {
    return {
      level: "warning",
      headline: "No matrix changed, so there is nothing to analyse",
      paragraphs: [...nothingChanged(report), "The list of what was left out has every name with the reason."],
    };
  }
  if (total === null) return verdictOfUpdate(report);
  const affected = matrices.filter(({ intruders }) => intruders > 0);
  const looked = lookedAt(matrices);
  if (total === 0) {
    return {
      level: "good",
      headline: `No intruder dimensions in ${count(matrices.length, "matrix", "matrices")}`,
      paragraphs: [
        `Each of the ${k} strongest directions of every changed matrix resembles one that the base model already had ` +
          `(cosine of at least ${epsilon}). Fine-tuning moved within what the model knew; full fine-tuning usually looks like this.`,
        "It is no promise that nothing was forgotten: only a loss on text like that of the pretraining can say that.",
      ],
    };
  }
  const isMany = hasMany(report);
  return {
    level: isMany ? "bad" : "warning",
    headline: `${count(total, "intruder dimension", "intruder dimensions")} in ${affected.length} of ${count(matrices.length, "matrix", "matrices")}`,
    paragraphs: [
      `An intruder dimension is a strong new direction in a weight matrix: one of its ${k} largest singular vectors that resembles none of the base model's ` +
        `(every cosine below ${epsilon}). Here it is ${percentText(total / looked)} of the ${looked} vectors that were looked at.`,
      "Models with many of them were found to fit the new task as well, but to forget more of what they knew, and to do worse when they are trained on one task after another. " +
        (isMany ? "This one has many." : "This one has a few."),
      ...(affected.length <= 5
        ? [`They are in ${affected.map(({ name }) => `\`${plain(name)}\``).join(", ")}.`]
        : [mostly(affected)]),
    ],
    advice: [
      "Train with a lower learning rate, for example a half or a third of it: of all settings, this one moved intruders and forgetting most.",
      rankAdvice(tuned.r, tuned.alpha),
      ...(tuned.kind === "adapter"
        ? [
            "Or repair what you have: `lowrank repair BASE ADAPTER --lambda 0.7 --out DIR` scales the intruders down. Then measure both, the task and the forgetting.",
          ]
        : []),
    ],
  };
}

/** Of an adapter alone. */
function verdictOfUpdate({ matrices, tuned }: AnalysisReport): Verdict {
  const mean = matrices.reduce((sum, one) => sum + one.effective_rank_delta, 0) / matrices.length;
  const of = tuned.r === undefined || mean > tuned.r ? "" : ` of r = ${tuned.r}`;
  return {
    level: "warning",
    headline: `${count(matrices.length, "update", "updates")} without a base: nothing can be said about intruders`,
    paragraphs: [
      "Only the adapter was given. Its updates ΔW can be described, but whether their directions are new to the model takes the model's weights.",
      `On average an update uses ${mean.toFixed(1)}${of} directions (effective rank).`,
    ],
    advice: ["Give the base model, too: `lowrank analyze BASE ADAPTER --out DIR`."],
  };
}

export function factsOf(report: AnalysisReport): Fact[] {
  const { matrices, settings, total_intruders: total } = report;
  if (matrices.length === 0) return [];
  const rank = {
    label: "Effective rank of ΔW",
    value: (matrices.reduce((sum, one) => sum + one.effective_rank_delta, 0) / matrices.length).toFixed(1),
    note: "mean over the matrices",
  };
  if (total === null) return [{ label: "Matrices", value: String(matrices.length) }, rank];
  const looked = lookedAt(matrices);
  const other = matrices.reduce((sum, matrix) => sum + matrix.other_side.intruders, 0);
  const otherSide = settings.side === "left" ? "right" : "left";
  return [
    { label: "Intruder dimensions", value: String(total), note: `of ${looked} vectors, ${settings.side} side` },
    {
      label: "Matrices that have any",
      value: `${matrices.filter(({ intruders }) => intruders > 0).length} of ${matrices.length}`,
    },
    { label: `On the ${otherSide} side`, value: String(other), note: "the same count with the other vectors" },
    rank,
    {
      label: "Size of the update",
      value: percentText(
        Math.hypot(...matrices.map((one) => one.norm_delta)) / Math.hypot(...matrices.map((one) => one.norm_base)),
      ),
      note: "‖ΔW‖ / ‖W₀‖ of all matrices together",
    },
  ];
}

function mostly(affected: readonly MatrixReport[]): string {
  const most = affected.toSorted((a, b) => b.intruders - a.intruders).slice(0, 3);
  return `Most are in ${most.map(({ name, intruders }) => `\`${plain(name)}\` (${intruders})`).join(", ")}.`;
}

function rankAdvice(r: number | undefined, alpha: number | undefined): string {
  const general =
    "Use a higher rank and let alpha grow with it (alpha = 2r): with a fixed alpha a higher rank does not help.";
  if (r === undefined) return `If it was trained with an adapter: ${general[0]!.toLowerCase()}${general.slice(1)}`;
  const now = `now r = ${r}${alpha === undefined ? "" : `, alpha = ${alpha}`}`;
  return `${general} For example \`lora_rank: ${2 * r}\`, \`lora_alpha: ${4 * r}\` (${now}).`;
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** Backticks would end the code that the name is shown as. */
function plain(name: string): string {
  return name.replaceAll("`", "'");
}
