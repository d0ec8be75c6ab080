/** A merge report for a person. */
import { short } from "../../lm/merge-check.ts";
import type { MergeReport, WireComparison, WireLimits } from "../../lm/merge-report.ts";
import { grouped } from "../../lm/trainable.ts";
import { fitColumns } from "../terminal/output.ts";
import { table } from "../terminal/table.ts";

const PROMPT_COLUMNS = 40;

export function reportText(report: MergeReport): string {
  const { base, adapters, merged, exported, operators, thresholds } = report;
  const lines = [
    `base      ${base.name_or_path}${base.commit === null ? "" : ` at ${base.commit}`} (${base.model_type}, ${base.dtype ?? "float32"})`,
    ...adapters.map(
      ({ name_or_path: name, peft_type: type, r, lora_alpha: alpha, parameters }) =>
        `adapter   ${name} (${type}${r === null ? "" : `, r ${r}`}${alpha === null ? "" : `, alpha ${alpha}`}, ${grouped(parameters)} parameters)`,
    ),
    ...storageLines(report),
    `export    ${report.export.dtype}, ${grouped(report.export.parameters)} parameters, ${templateText(report)}`,
    ...(report.export.labels === undefined ? [] : [`classes   ${report.export.labels.join(", ")}`]),
    ...report.export.notes.map((note) => `note      ${note}`),
    ...report.warnings.map((warning) => `warning   ${warning}`),
  ];
  if (merged === undefined || exported === undefined || operators === undefined || thresholds === undefined) {
    return [...lines, "", "merge check: not asked for; this export has not been compared with what was trained"].join(
      "\n",
    );
  }
  const extra = operators.extra.length + operators.missing.length;
  return [
    ...lines,
    "",
    "merge check: base with adapters against merged (float32) and against the files",
    table([...exported.texts.map((text, i) => rowOf(text, merged.texts[i]!)), totalRow(merged, exported)], {
      header: ["prompt", "tokens", "merged |Δlogit|", "files |Δlogit|", "files KL", said(report).column],
    }),
    `allowed: merged ${limitText(thresholds.merged, report)}; files ${limitText(thresholds.exported, report)}`,
    extra === 0
      ? `operators: ${operators.base} in the base, no extra operators in the merged model`
      : `operators: ${operators.base} in the base, ${operators.exported} in the merged model: ${[...operators.extra, ...operators.missing].slice(0, 3).join("; ")}`,
    ...effectLines(report),
    ...costLines(report),
    `verdict: ${report.verdict}`,
  ].join("\n");
}

type TextRow = WireComparison["texts"][number];

/** What is counted as equal or not: tokens, or classes. */
function said({ export: { labels } }: MergeReport): { column: string; plural: string } {
  return labels === undefined ? { column: "greedy", plural: "greedy tokens" } : { column: "class", plural: "classes" };
}

function rowOf(text: TextRow, merged: TextRow): (string | number)[] {
  return [
    fitColumns(text.prompt.replaceAll(/\s+/g, " "), PROMPT_COLUMNS),
    text.tokens,
    short(merged.max_logit_difference),
    short(text.max_logit_difference),
    short(text.mean_kl),
    `${text.greedy_agreed}/${text.greedy_tokens}`,
  ];
}

function totalRow(merged: WireComparison, exported: WireComparison): (string | number)[] {
  const tokens = exported.texts.reduce((sum, text) => sum + text.tokens, 0);
  const agreed = exported.texts.reduce((sum, text) => sum + text.greedy_agreed, 0);
  return [
    "all",
    tokens,
    short(merged.max_logit_difference),
    short(exported.max_logit_difference),
    short(exported.mean_kl),
    `${agreed}/${exported.greedy_tokens}`,
  ];
}

function limitText(limits: WireLimits, report: MergeReport): string {
  const { max_logit_difference: logit, relative_above_10: relative, mean_kl: kl, greedy_agreement: greedy } = limits;
  return [
    `|Δlogit| ${short(logit)}${relative ? " (for logits up to 10)" : ""}`,
    ...(kl === null ? [] : [`KL ${short(kl)}`]),
    ...(greedy === null ? [] : [`${Math.round(100 * greedy)} % of ${said(report).plural}`]),
  ].join(", ");
}

function effectLines(report: MergeReport): string[] {
  const { adapters, adapter_effect: effect } = report;
  if (adapters.length === 0 || effect === undefined) return [];
  return [
    `for comparison, the adapter itself: |Δlogit| up to ${short(effect.max_logit_difference)}, KL ${short(effect.mean_kl)}, ` +
      `${Math.round(100 * (1 - effect.greedy_agreement))} % of ${said(report).plural} changed`,
  ];
}

function storageLines({ storage }: MergeReport): string[] {
  if (storage === undefined) return [];
  const { name, double_quantization: double, weights, against } = storage;
  const what = against === "original" ? "the original weights" : "the values that the storage stands for";
  return [
    `storage   trained on ${weights} weights in ${name}${double ? ", double quantisation" : ""}; merged into ${what}`,
  ];
}

/** What each way of merging costs, against the model as it was trained. */
function costLines({ storage }: MergeReport): string[] {
  if (storage?.costs === undefined) return [];
  return Object.entries(storage.costs).map(([against, cost]) => {
    const { loss_difference: difference } = cost;
    const loss = difference === null ? "" : `, loss ${difference < 0 ? "-" : "+"}${short(Math.abs(difference))}`;
    return (
      `against the model as it was trained, merged into ${against} weights: |Δlogit| up to ` +
      `${short(cost.max_logit_difference)}, KL ${short(cost.mean_kl)}${loss}${against === storage.against ? " (written)" : ""}`
    );
  });
}

function templateText({ export: { chat_template: origin } }: MergeReport): string {
  switch (origin) {
    case "adapter":
      return "chat template of the adapter";
    case "base":
      return "chat template of the base";
    case "named":
      return "chat template by name";
    case "none":
      return "no chat template";
  }
}
