/** Figures and numbers of one matrix. */
import { cosineScatterSvg } from "../../figures/cosine-scatter.ts";
import { type Block, csv, type DataFile, type Details, type PageFigure } from "../../figures/page/page.ts";
import { similarityMapSvg } from "../../figures/similarity-maps.ts";
import { spectraSvg } from "../../figures/spectra.ts";
import { NEAR_GAP } from "../measures/intruders.ts";
import type { MatrixReport } from "../report.ts";

const PAPER = "arXiv 2410.21228";

export interface MatrixDetailsOptions {
  readonly id: string;
  /** Most ranks in a file of numbers as the page holds it; the first ones are kept, and some of the others. Default: all. */
  readonly maxRanks?: number;
}

export function matrixDetails(matrix: MatrixReport, { id, maxRanks = Infinity }: MatrixDetailsOptions): Details {
  const { name, intruders, shape } = matrix;
  return {
    id,
    summary: name,
    note: `${shape[0]} × ${shape[1]}${hasBase(matrix) ? `, ${intruders} ${intruders === 1 ? "intruder" : "intruders"}` : ""}`,
    blocks: [
      ...sentences(matrix).map((text): Block => ({ kind: "text", text })),
      {
        kind: "figures",
        figures: [
          ...similarityFigures(matrix, id),
          ...cosineFigure(matrix, id, maxRanks),
          ...spectraFigure(matrix, id, maxRanks),
        ],
      },
    ],
  };
}

function sentences(matrix: MatrixReport): string[] {
  const { side, other_side: other, amplification, k } = matrix;
  const update =
    `ΔW: effective rank ${short(matrix.effective_rank_delta)}, stable rank ${short(matrix.stable_rank_delta)}, numeric rank ` +
    `${matrix.numeric_rank_delta}, ‖ΔW‖ = ${short(matrix.norm_delta)}`;
  if (!hasBase(matrix)) return [`${update}.`];
  const found =
    matrix.intruders === 0
      ? `None of the ${k} strongest ${side} vectors is an intruder.`
      : `Intruders at rank ${ranksText(matrix)} (${side} vectors).`;
  return [
    `${found} With ${other.side} vectors: ${other.intruders}.`,
    ...(matrix.spans
      ? []
      : [`The base's ${side} vectors do not span the whole space, so small cosines say less on this side.`]),
    ...(looseRanks(matrix).length === 0
      ? []
      : [
          "≈: its singular value is within 1 % of the next one. Such vectors turn easily, so this intruder is doubtful.",
        ]),
    `${update}, ‖W₀‖ = ${short(matrix.norm_base)}` +
      (amplification?.factor === null || amplification === null
        ? "."
        : `; amplification ${short(amplification.factor)} in ${amplification.r} directions.`),
  ];
}

/** Ranks of intruders; those that are doubtful with a sign. */
export function ranksText(matrix: MatrixReport): string {
  const loose = looseRanks(matrix);
  return matrix.intruder_ranks.map((rank) => `${rank}${loose.includes(rank) ? "\u00a0≈" : ""}`).join(", ");
}

function looseRanks({ intruder_ranks: ranks, intruder_gaps: gaps, sigma_tuned: sigma }: MatrixReport): number[] {
  return ranks.filter((rank, i) => (gaps[i] ?? Infinity) < NEAR_GAP * (sigma[rank - 1] ?? 0));
}

function hasBase({ max_cos }: MatrixReport): boolean {
  return max_cos.length > 0;
}

function similarityFigures(matrix: MatrixReport, id: string): PageFigure[] {
  const {
    name,
    intruder_ranks: intruderRanks,
    similarity_top: top,
    similarity_corner: corner = [],
    similarity,
  } = matrix;
  const isPooled = similarity.length < matrix.sigma_base.length;
  const pooledFrom = {
    rows: Math.max(matrix.sigma_base.length, similarity.length),
    columns: Math.max(matrix.max_cos.length, similarity[0]?.length ?? 0),
  };
  const map = (part: string, values: Grid, texts: { title: string; explanation: string; figure: string }, more = {}) =>
    values.length === 0
      ? []
      : [
          {
            id: `${id}-${part}`,
            title: `${texts.title} of ${name}: similarity to the base's`,
            svg: similarityMapSvg({ title: texts.title, subtitle: name, values, intruderRanks, ...more }),
            explanation: texts.explanation,
            source: `${PAPER}, figure ${texts.figure}`,
            data: [{ name: `${id}-${part}.csv`, label: "CSV", text: gridCsv(values) }],
          },
        ];
  return [
    ...map("top", top, {
      title: "The ten strongest vectors",
      explanation:
        "Light on the diagonal: a direction that fine-tuning kept. An outlined dark column: a direction that the base does not have; after it, the diagonal moves one place to the right.",
      figure: "3",
    }),
    ...map(
      "corner",
      corner.length > top.length ? corner : [],
      {
        title: `The ${corner.length} strongest vectors`,
        explanation:
          "The same a little further out: every intruder moves the light diagonal after it one more place to the right.",
        figure: "1",
      },
      { numbers: false },
    ),
    ...map(
      "all",
      similarity,
      {
        title: "All vectors",
        explanation:
          "A sharp diagonal: the order of the base's directions is kept. Where it blurs, directions of nearly equal strength mix." +
          (isPooled ? " Each cell is the largest of the cosines that it stands for." : ""),
        figure: "1",
      },
      { numbers: false, pooledFrom },
    ),
  ];
}

type Grid = readonly (readonly number[])[];

function gridCsv(values: Grid): string {
  const head = ["base_vector", ...values[0]!.map((_, j) => `tuned_${j + 1}`)];
  return csv(
    head,
    values.map((row, i) => [i + 1, ...row.map((value) => Math.round(1e4 * value) / 1e4)]),
  );
}

function cosineFigure(matrix: MatrixReport, id: string, maxRanks: number): PageFigure[] {
  const { name, max_cos: maxCos, nearest, other_side: other, epsilon, k } = matrix;
  if (maxCos.length === 0) return [];
  const row = (rank: number) => [
    rank,
    digits(maxCos[rank - 1]!),
    nearest[rank - 1] ?? null,
    digits(other.max_cos[rank - 1] ?? NaN),
  ];
  const columns = ["rank", `max_cos_${matrix.side}`, "nearest_base_rank", `max_cos_${other.side}`];
  return [
    {
      id: `${id}-cosines`,
      title: `Largest cosine of each tuned vector of ${name}`,
      svg: cosineScatterSvg({
        title: "How similar is the nearest base vector?",
        subtitle: name,
        maxCos,
        epsilon,
        k,
        nullLevel: matrix.null_max_cos,
        intruderRanks: matrix.intruder_ranks,
      }),
      explanation:
        "Points at the top: directions of the base. Points at the left and below the dashed line: intruders, with their ranks. At the dotted line a vector is as unlike the base as a random one; low points at the far right are the weak end and mean little.",
      source: `${PAPER}, figure 2 and definition 3.1`,
      data: [byRank(`${id}-cosines.csv`, columns, row, maxCos.length, maxRanks)],
    },
  ];
}

function spectraFigure(matrix: MatrixReport, id: string, maxRanks: number): PageFigure[] {
  const { name, sigma_base, sigma_tuned, sigma_delta, intruder_ranks: marked } = matrix;
  const spectra = [
    { name: "base W₀", sigma: sigma_base },
    { name: "tuned W", sigma: sigma_tuned, dashed: true, marked },
    { name: "change ΔW", sigma: sigma_delta },
  ].filter(({ sigma }) => sigma.some((value) => value > 0));
  if (spectra.length === 0) return [];
  const all = [sigma_base, sigma_tuned, sigma_delta];
  const row = (rank: number) => [rank, ...all.map((sigma) => digits(sigma[rank - 1] ?? NaN))];
  const columns = ["rank", "sigma_base", "sigma_tuned", "sigma_delta"];
  const ranks = Math.max(...all.map(({ length }) => length));
  return [
    {
      id: `${id}-spectra`,
      title: `Singular values of ${name}`,
      svg: spectraSvg(spectra, { title: "Singular values", subtitle: name, markedName: "intruders" }),
      explanation:
        "How strong each direction is. Where the line of ΔW begins above most of the base's, the update is strong enough to enter among the strongest directions. ΔW ends at its rank.",
      data: [byRank(`${id}-spectra.csv`, columns, row, ranks, maxRanks)],
    },
  ];
}

/** A row for each rank; the page holds at most so many. */
function byRank(
  name: string,
  columns: readonly string[],
  row: (rank: number) => readonly (number | null)[],
  count: number,
  most: number,
): DataFile {
  const text = csv(columns, someRanks(count, count).map(row));
  return {
    name,
    label: "CSV",
    text,
    ...(count > most ? { excerpt: csv(columns, someRanks(count, most).map(row)) } : {}),
  };
}

/** All ranks, or the first ones and as many of the others as there is room for. */
function someRanks(count: number, most: number): number[] {
  if (count <= most) return Array.from({ length: count }, (_, i) => i + 1);
  const first = Math.ceil(most / 2);
  const rest = Array.from(
    { length: most - first },
    (_, i) => first + Math.round(((i + 1) * (count - first)) / (most - first)),
  );
  return [...Array.from({ length: first }, (_, i) => i + 1), ...rest];
}

/** Six significant digits: a float32 has seven. */
function digits(value: number): number {
  return Number(value.toPrecision(6));
}

function short(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString("en-US", { maximumSignificantDigits: 3 });
}
