/** The page of an analysis. Every number in it is in the report; what is quoted from papers says so. */
import type { Block, Page, Section } from "../../figures/page/page.ts";
import type { AnalysisReport, Origin } from "../report.ts";
import { checkpointFigures } from "./checkpoint-figures.ts";
import { matrixDetails } from "./matrix-details.ts";
import { slugOf } from "./matrix-place.ts";
import { modelFigures, type NamedReport } from "./model-figures.ts";
import { amplificationTable, matrixTable, skippedTable } from "./report-tables.ts";
import { factsOf, verdictOf } from "./verdict.ts";

/** Ranks in the numbers that the page holds of all matrices together: with more, it is no longer small. */
const MAX_RANKS = 120_000;

export interface ReportPageOptions {
  /** Other reports that are drawn beside this one: other methods or ranks. */
  readonly series?: readonly NamedReport[];
}

export function reportPage(report: AnalysisReport, { series = [] }: ReportPageOptions = {}): Page {
  const { matrices, skipped, checkpoints = [], settings, base, tuned } = report;
  const idOf = (index: number) => slugOf(matrices[index]!.name, index);
  const maxRanks = Math.max(64, Math.floor(MAX_RANKS / Math.max(1, matrices.length)));
  const isShortened = matrices.some(
    ({ max_cos, sigma_base }) => Math.max(max_cos.length, sigma_base.length) > maxRanks,
  );
  const section = (id: string, title: string, blocks: readonly Block[]): Section[] => [{ id, title, blocks }];
  const overTime = checkpointFigures(checkpoints);
  return {
    title: "What fine-tuning did to the weights",
    subtitle: `${base === null ? "" : `${describe(base)} → `}${describe(tuned)}`,
    lead: [
      { kind: "verdict", verdict: verdictOf(report) },
      { kind: "warnings", items: report.warnings },
      { kind: "facts", facts: factsOf(report) },
    ],
    sections: [
      ...(matrices.length === 0
        ? []
        : section("model", "The whole model", [{ kind: "figures", figures: modelFigures(report, series) }])),
      ...(overTime.length === 0
        ? []
        : section("checkpoints", "While training went on", [{ kind: "figures", figures: overTime }])),
      ...(matrices.length === 0
        ? []
        : [
            ...section("matrices", "Matrices", [
              {
                kind: "text",
                text: "Sort by a click on the head of a column; a name leads to the figures of its matrix.",
              },
              { kind: "table", table: matrixTable(report, idOf) },
            ]),
            ...(base === null
              ? []
              : section("amplification", "Amplification", [
                  {
                    kind: "text",
                    text:
                      "Does the update strengthen directions that the base already uses? If the value of ΔW is near that of a random matrix, it does not; if it is clearly above, but far below that of W₀, " +
                      "the update turns up directions that the base has and hardly uses.",
                  },
                  { kind: "table", table: amplificationTable(report) },
                ])),
            ...section("details", "Each matrix", [
              {
                kind: "text",
                text: `${base === null ? "Spectra" : "Heat maps, cosines and spectra"}, with their numbers.${isShortened ? " The matrices are large or many: the numbers in this page are those of some ranks; all are in the folder `data` beside it." : ""}`,
              },
              ...matrices.map((matrix, i): Block => ({
                kind: "details",
                details: matrixDetails(matrix, { id: idOf(i), maxRanks }),
              })),
            ]),
          ]),
      ...(skipped.length === 0
        ? []
        : section("skipped", "What was left out", [{ kind: "table", table: skippedTable(report) }])),
    ],
    footer: [
      `k = ${settings.k}, ε = ${settings.epsilon}, ${settings.side} singular vectors, seed ${settings.seed} of the random directions. ` +
        `W₀: matrix of the base, W: of the tuned model, ΔW = W − W₀; norms are Frobenius norms; vectors are counted by their rank, from 1.`,
      `${base === null ? "" : `Base: \`${base.content_hash}\`. `}Tuned: \`${tuned.content_hash}\` (SHA-256). All numbers: \`report.json\`.`,
    ],
  };
}

function describe({ name, kind, method, r, alpha }: Origin): string {
  const facts = [
    method,
    r === undefined ? undefined : `r = ${r}`,
    alpha === undefined ? undefined : `alpha = ${alpha}`,
  ].filter((fact) => fact !== undefined);
  const more = facts.length === 0 ? "" : ` (${facts.join(", ")})`;
  return `${kind} \`${name.replaceAll("`", "'")}\`${more}`;
}
