/** An analysis for a person at a terminal: the worst matrices, the total, and what to make of it. */
import { hasMany } from "../../analysis/html/verdict.ts";
import { isUnchanged, nothingChanged } from "../../analysis/nothing-changed.ts";
import type { AnalysisReport, MatrixReport, Origin } from "../../analysis/report.ts";
import { percentText } from "../../figures/percent.ts";
import { table } from "../terminal/table.ts";

/** Matrices that are shown. */
const SHOWN = 10;

/** @param base as it was given, for the command in the hint */
export function healthReport(report: AnalysisReport, base: string | undefined, tuned: string): string {
  const { matrices, warnings } = report;
  const lines = [
    ...(report.base === null ? [] : [`base      ${originText(report.base)}`]),
    `tuned     ${originText(report.tuned)}`,
    `matrices  ${matricesText(report)}`,
  ];
  if (matrices.length > 0) lines.push("", report.base === null ? updateTable(matrices) : intruderTable(matrices));
  for (const warning of warnings) lines.push("", `note: ${warning}`);
  lines.push("", ...verdict(report, base, tuned));
  if (report.checkpoints !== undefined) lines.push("", checkpointTable(report.checkpoints));
  return lines.join("\n");
}

function originText({ name, kind, method, r, alpha }: Origin): string {
  const details = [method, r === undefined ? undefined : `r ${r}`, alpha === undefined ? undefined : `alpha ${alpha}`];
  const said = details.filter((part) => part !== undefined);
  return kind === "adapter" ? `${name} (${["adapter", ...said].join(", ")})` : name;
}

function matricesText({ matrices, skipped }: AnalysisReport): string {
  const unchanged = skipped.filter(isUnchanged).length;
  const others = skipped.length - unchanged;
  return [
    `${matrices.length} changed`,
    ...(unchanged > 0 ? [`${unchanged} did not`] : []),
    ...(others > 0 ? [`${others} other tensor${others === 1 ? "" : "s"} left out`] : []),
  ].join(", ");
}

function intruderTable(matrices: readonly MatrixReport[]): string {
  const worst = matrices.toSorted(
    (a, b) => b.intruders - a.intruders || smallest(a) - smallest(b) || b.norm_delta - a.norm_delta,
  );
  const rows = worst
    .slice(0, SHOWN)
    .map((each) => [
      each.name,
      `${each.shape[0]}×${each.shape[1]}`,
      String(each.intruders),
      each.intruder_ranks.length === 0 ? "–" : each.intruder_ranks.slice(0, 6).join(" "),
      smallest(each).toFixed(2),
      each.effective_rank_delta.toFixed(1),
      relative(each),
      short(each.amplification?.factor ?? NaN),
    ]);
  const header = ["weight", "shape", "intruders", "ranks", "least max cos", "eff. rank ΔW", "‖ΔW‖/‖W‖", "amplif."];
  return table(rows, { header }) + more(matrices.length);
}

function updateTable(matrices: readonly MatrixReport[]): string {
  const largest = matrices.toSorted((a, b) => b.norm_delta - a.norm_delta);
  const rows = largest
    .slice(0, SHOWN)
    .map((each) => [
      each.name,
      `${each.shape[0]}×${each.shape[1]}`,
      short(each.norm_delta),
      short(each.sigma_delta[0] ?? 0),
      String(each.numeric_rank_delta),
      each.effective_rank_delta.toFixed(1),
      each.stable_rank_delta.toFixed(1),
    ]);
  const header = ["weight", "shape", "‖ΔW‖", "σ₁", "rank", "eff. rank", "stable rank"];
  return table(rows, { header }) + more(matrices.length);
}

/** Three digits; large numbers without an exponent; a dash for what is no number. */
function short(value: number): string {
  if (Number.isNaN(value)) return "–";
  if (Math.abs(value) < 999.5) return value.toPrecision(3);
  return value.toLocaleString("en-US", { maximumSignificantDigits: 3 });
}

function more(count: number): string {
  return count > SHOWN ? `\n… and ${count - SHOWN} more` : "";
}

/** Of the vectors that are looked at. */
function smallest({ max_cos, k }: MatrixReport): number {
  return Math.min(1, ...max_cos.slice(0, k));
}

function relative({ norm_base, norm_delta }: MatrixReport): string {
  return norm_base === 0 ? "–" : percentText(norm_delta / norm_base, { digits: 3, keepZeros: true, space: " " });
}

function verdict(report: AnalysisReport, base: string | undefined, tuned: string): string[] {
  const { matrices, total_intruders: total, settings, skipped } = report;
  const { k, epsilon } = settings;
  if (matrices.length === 0) return nothingChanged(report);
  if (total === null) {
    const mean = matrices.reduce((sum, each) => sum + each.effective_rank_delta, 0) / matrices.length;
    return [
      `The update uses ${mean.toFixed(1)} directions of a matrix on average (effective rank). Give the base too, to see`,
      "whether it brought in directions that the base does not have.",
    ];
  }
  const looked = matrices.reduce((sum, { max_cos }) => sum + Math.min(k, max_cos.length), 0);
  const affected = matrices.filter(({ intruders }) => intruders > 0).length;
  const head = `intruder dimensions: ${total} among the ${looked} highest-ranking singular vectors (k ${k}, ε ${epsilon})`;
  if (total === 0) {
    return [head, "None of them is new: the leading directions are those of pretraining, as after full fine-tuning."];
  }
  const where = `${affected} of ${matrices.length} matrices have directions of high rank that pretraining did not have.`;
  const meaning = hasMany(report)
    ? "That many go with forgetting: check how the model does on what it could do before."
    : "A few are usual for LoRA; they can go with forgetting of what the model could do before.";
  const isAdapter = report.tuned.kind === "adapter" && base !== undefined && skipped !== undefined;
  return [
    head,
    `${where} ${meaning}`,
    ...(isAdapter ? [`  lowrank repair ${base} ${tuned} --lambda 0.7 --out repaired    scales them down`] : []),
  ];
}

function checkpointTable(checkpoints: NonNullable<AnalysisReport["checkpoints"]>): string {
  const rows = checkpoints.map(({ step, total_intruders, effective_rank_delta, matrices }) => {
    const all = matrices.flatMap(({ intruders }) => intruders);
    return [
      String(step),
      String(total_intruders),
      all.length === 0 ? "–" : String(Math.min(...all.map(({ rank }) => rank))),
      all.length === 0 ? "–" : short(Math.max(...all.map(({ sigma }) => sigma))),
      effective_rank_delta.toFixed(1),
    ];
  });
  return table(rows, { header: ["step", "intruders", "highest rank", "largest σ", "eff. rank ΔW"] });
}
