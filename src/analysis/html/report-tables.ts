/** Tables of an analysis: all matrices, their amplification, what was skipped. */
import { type Cell, csv, type PageTable } from "../../figures/page/page.ts";
import type { AnalysisReport, MatrixReport } from "../report.ts";
import { ranksText } from "./matrix-details.ts";

/** @param idOf of the details of a matrix */
export function matrixTable(report: AnalysisReport, idOf: (index: number) => string): PageTable {
  const columns = report.base === null ? UPDATE_COLUMNS : [...baseColumns(report), ...UPDATE_COLUMNS];
  const { matrices } = report;
  return {
    caption: "All matrices that changed",
    sortable: true,
    filterable: true,
    columns: [
      { title: "Matrix", hint: "Leads to its figures" },
      ...columns,
      { title: "Shape", hint: "outputs × inputs; sorted by the number of weights" },
    ],
    rows: matrices.map((matrix, i): Cell[] => [
      { text: plain(matrix.name), target: idOf(i) },
      ...columns.map(({ of }) => of(matrix)),
      { text: `${matrix.shape[0]} × ${matrix.shape[1]}`, value: matrix.shape[0] * matrix.shape[1] },
    ]),
    data: { name: "matrices.csv", label: "All of it as CSV", text: matricesCsv(matrices) },
  };
}

interface Column {
  readonly title: string;
  readonly hint?: string;
  readonly of: (matrix: MatrixReport) => Cell;
}

function baseColumns({ settings }: AnalysisReport): Column[] {
  const { k, side } = settings;
  const other = side === "left" ? "right" : "left";
  return [
    {
      title: "Intruders",
      hint: `Of the ${k} strongest ${side} vectors`,
      of: ({ intruders }) => ({ ...number(intruders), ...(intruders > 0 ? { level: "bad" as const } : {}) }),
    },
    { title: "At ranks", hint: "≈: of nearly equal strength to the next vector, so doubtful", of: ranksText },
    {
      title: `Intruders ${other}`,
      hint: `With ${other} vectors`,
      of: ({ other_side: one }) => number(one.intruders),
    },
    {
      title: "Lowest cosine",
      hint: `Smallest of the largest cosines of the ${k} strongest vectors`,
      of: (matrix) => fixed(lowest(matrix)),
    },
    { title: "Random", hint: "Largest cosine that a random vector would have", of: (one) => fixed(one.null_max_cos) },
    { title: "‖ΔW‖/‖W₀‖", of: ({ norm_delta, norm_base }) => short(norm_delta / norm_base) },
    {
      title: "Amplification",
      hint: "‖ΔW‖ / ‖Uᵀ W₀ V‖",
      of: ({ amplification }) => short(amplification?.factor ?? NaN),
    },
  ];
}

const UPDATE_COLUMNS: readonly Column[] = [
  { title: "Effective rank ΔW", of: (one) => short(one.effective_rank_delta) },
  { title: "Stable rank ΔW", hint: "‖ΔW‖² / σ₁²", of: (one) => short(one.stable_rank_delta) },
  { title: "Rank ΔW", hint: "Number of singular values above rounding", of: (one) => number(one.numeric_rank_delta) },
  { title: "‖ΔW‖", hint: "Frobenius norm", of: (one) => short(one.norm_delta) },
];

function lowest({ max_cos, k }: MatrixReport): number {
  return max_cos.length === 0 ? NaN : Math.min(...max_cos.slice(0, k));
}

function matricesCsv(matrices: readonly MatrixReport[]): string {
  const fields: readonly (readonly [string, (one: MatrixReport) => string | number | null])[] = [
    ["name", (one) => one.name],
    ["outputs", (one) => one.shape[0]],
    ["inputs", (one) => one.shape[1]],
    ["side", (one) => one.side],
    ["k", (one) => one.k],
    ["epsilon", (one) => one.epsilon],
    ["intruders", (one) => one.intruders],
    ["intruder_ranks", (one) => one.intruder_ranks.join(" ")],
    ["intruder_gaps", (one) => one.intruder_gaps.join(" ")],
    ["intruders_other_side", (one) => one.other_side.intruders],
    ["lowest_max_cos", lowest],
    ["null_max_cos", (one) => one.null_max_cos],
    ["effective_rank_base", (one) => one.effective_rank_base],
    ["effective_rank_tuned", (one) => one.effective_rank_tuned],
    ["effective_rank_delta", (one) => one.effective_rank_delta],
    ["stable_rank_delta", (one) => one.stable_rank_delta],
    ["numeric_rank_delta", (one) => one.numeric_rank_delta],
    ["norm_base", (one) => one.norm_base],
    ["norm_delta", (one) => one.norm_delta],
    ["amplification", (one) => one.amplification?.factor ?? null],
  ];
  return csv(
    fields.map(([name]) => name),
    matrices.map((matrix) => fields.map(([, of]) => of(matrix))),
  );
}

/** The LoRA paper's table 7, for every matrix. */
export function amplificationTable({ matrices }: AnalysisReport): PageTable {
  const rows = matrices.flatMap(({ name, norm_delta, amplification: one }) =>
    one === null ? [] : [{ name, norm_delta, ...one }],
  );
  return {
    caption: "‖Uᵀ W₀ V‖ with directions of ΔW, of W₀ and of a random matrix (LoRA, arXiv 2106.09685, §7.3, table 7)",
    sortable: true,
    columns: [
      { title: "Matrix" },
      { title: "r", hint: "Directions" },
      { title: "‖ΔW‖" },
      { title: "of ΔW", hint: "‖Uᵀ W₀ V‖ with the singular vectors of ΔW" },
      { title: "of W₀", hint: "‖Uᵀ W₀ V‖ with the singular vectors of W₀ itself: the most that r directions can hold" },
      { title: "Random", hint: "‖Uᵀ W₀ V‖ with the singular vectors of a random matrix" },
      { title: "Random, expected", hint: "‖W₀‖ r / √(outputs · inputs)" },
      { title: "Amplification", hint: "‖ΔW‖ divided by the value of ΔW" },
    ],
    rows: rows.map((one): Cell[] => [
      plain(one.name),
      number(one.r),
      short(one.norm_delta),
      short(one.along_delta),
      short(one.along_base),
      short(one.along_random),
      short(one.random_expected),
      short(one.factor ?? NaN),
    ]),
    data: {
      name: "amplification-table.csv",
      label: "CSV",
      text: csv(
        ["name", "r", "norm_delta", "along_delta", "along_base", "along_random", "random_expected", "factor"],
        rows.map((one) => [
          one.name,
          one.r,
          one.norm_delta,
          one.along_delta,
          one.along_base,
          one.along_random,
          one.random_expected,
          one.factor,
        ]),
      ),
    },
  };
}

export function skippedTable({ skipped }: AnalysisReport): PageTable {
  return {
    caption: "Not analysed",
    columns: [{ title: "Parameter" }, { title: "Why" }],
    rows: skipped.map(({ name, reason }) => [plain(name), reason]),
  };
}

function number(value: number): { text: string; value: number } {
  return { text: value.toLocaleString("en-US"), value };
}

function fixed(value: number): { text: string; value: number } {
  return { text: value.toFixed(2), value };
}

function short(value: number): { text: string; value: number } {
  const text = Number.isFinite(value)
    ? Number(value.toPrecision(3)).toLocaleString("en-US", { maximumSignificantDigits: 3 })
    : "–";
  return { text, value };
}

/** A backtick in a name is no mark-up. */
function plain(name: string): string {
  return name.replaceAll("`", "'");
}
