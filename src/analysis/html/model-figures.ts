/** Figures of a whole model: where intruders are, how their number depends on ε and k, effective ranks and sizes of the updates. */
import { CHART_WIDTH } from "../../figures/chart-size.ts";
import { heatMapSvg } from "../../figures/heat-map.ts";
import { layerProfileSvg } from "../../figures/layer-profile.ts";
import { csv, type PageFigure } from "../../figures/page/page.ts";
import { sweepSvg } from "../../figures/sweep.ts";
import type { Axis } from "../../figures/xy-chart.ts";
import { countIntruders } from "../measures/intruders.ts";
import type { AnalysisReport, MatrixReport } from "../report.ts";
import { type Place, placesOf } from "./matrix-place.ts";

/** A report under the name that its line has in charts. */
export interface NamedReport {
  readonly name: string;
  readonly report: AnalysisReport;
}

const PAPER = "Shuttleworth et al., LoRA vs Full Fine-tuning: An Illusion of Equivalence (arXiv 2410.21228)";
const LORA = "Hu et al., LoRA (arXiv 2106.09685)";

/** @param series other reports that are drawn beside this one */
export function modelFigures(report: AnalysisReport, series: readonly NamedReport[] = []): PageFigure[] {
  const all = [{ name: nameOf(report), report }, ...series].filter((one) => one.report.matrices.length > 0);
  if (report.matrices.length === 0) return [];
  const compared = all.filter((one) => one.report.base !== null);
  return [
    ...(report.base === null ? [] : [intruderMap(report), epsilonSweep(compared, report), kSweep(compared, report)]),
    ...profile(report, {
      id: "effective-rank",
      title: "Effective rank of the update",
      y: { label: "effective rank of ΔW", from: 0 },
      of: (matrix) => matrix.effective_rank_delta,
      explanation:
        "How many directions an update really uses: exp of the entropy of its singular values. It is at most the rank r of an adapter; far below r means that most of the rank is idle.",
      source: `Roy and Vetterli 2007; ${PAPER}, appendix H`,
    }),
    ...(series.length === 0 ? [] : [rankByMethod(all)]),
    ...profile(report, {
      id: "update-size",
      title: "Size of the update",
      y: { label: report.base === null ? "‖ΔW‖" : "‖ΔW‖ / ‖W₀‖", from: 0 },
      of: (matrix) => (report.base === null ? matrix.norm_delta : matrix.norm_delta / matrix.norm_base),
      explanation:
        "How far each matrix moved (Frobenius norm, relative to that of the base where there is one). One that moved far more than the others is worth a look.",
    }),
    ...profile(report, {
      id: "amplification",
      title: "Amplification factor",
      y: { label: "‖ΔW‖ / ‖Uᵀ W₀ V‖", log: true },
      of: (matrix) => matrix.amplification?.factor ?? null,
      explanation:
        "How much stronger the update is than what the base already does in the same directions. Large: directions that the base had, but hardly used, were turned up.",
      source: `${LORA}, §7.3`,
    }),
  ];
}

function nameOf({ tuned }: AnalysisReport): string {
  return tuned.name.split(/[/\\]/).findLast((part) => part !== "") ?? "this model";
}

/** Rows: kinds of matrices, columns: layers; "–" for matrices that are in no layer. */
function gridOf<T>(
  places: readonly Place[],
  values: readonly T[],
): { kinds: string[]; layers: string[]; cells: (T | null)[][] } {
  const kinds = [...new Set(places.map(({ kind }) => kind))];
  const numbers = [...new Set(places.flatMap(({ layer }) => (layer === undefined ? [] : [layer])))].sort(
    (a, b) => a - b,
  );
  const columns: (number | undefined)[] = [
    ...numbers,
    ...(places.some(({ layer }) => layer === undefined) ? [undefined] : []),
  ];
  const cells = kinds.map((kind) =>
    columns.map((column) => {
      const at = places.findIndex((place) => place.kind === kind && place.layer === column);
      return at < 0 ? null : values[at]!;
    }),
  );
  return { kinds, layers: columns.map((column) => (column === undefined ? "–" : String(column))), cells };
}

function intruderMap({ matrices, settings }: AnalysisReport): PageFigure {
  const { kinds, layers, cells } = gridOf(
    placesOf(matrices.map(({ name }) => name)),
    matrices.map(({ intruders }) => intruders),
  );
  const id = "intruders-by-layer";
  return {
    id,
    title: "Intruder dimensions by layer and kind of matrix",
    svg: heatMapSvg(cells, {
      title: "Where the intruder dimensions are",
      subtitle: `of the ${settings.k} strongest ${settings.side} singular vectors, ε = ${settings.epsilon}`,
      // Many layers need more room for their numbers.
      width: layers.length > 14 ? Math.min(1100, 200 + 24 * layers.length) : CHART_WIDTH,
      rows: { label: "kind of matrix", names: kinds },
      columns: { label: "layer", names: layers },
      valueLabel: "intruders",
      range: [0, Math.max(3, ...matrices.map(({ intruders }) => intruders))],
      numbers: true,
      format: (value) => String(Math.round(value * 10) / 10),
    }),
    explanation:
      "Each cell is a matrix; the number counts the intruders among its strongest vectors. Light rows or columns show which kinds of matrices, or which layers, took in new directions. Grey: this matrix did not change or is not there.",
    source: PAPER,
    data: [
      {
        name: `${id}.csv`,
        label: "CSV",
        text: csv(
          ["kind", ...layers.map((layer) => `layer ${layer}`)],
          kinds.map((kind, i) => [kind, ...cells[i]!]),
        ),
      },
    ],
  };
}

function epsilonSweep(all: readonly NamedReport[], { settings }: AnalysisReport): PageFigure {
  const x = Array.from({ length: 41 }, (_, i) => i / 40);
  const counts = all.map(({ report }) =>
    x.map((epsilon) => sum(report.matrices, ({ max_cos, k }) => countIntruders(max_cos, k, epsilon))),
  );
  const id = "epsilon-sweep";
  return {
    id,
    title: "Number of intruders over ε",
    svg: sweepSvg(
      all.map(({ name }, i) => ({ name, x, y: counts[i]! })),
      {
        title: "How much hangs on ε",
        subtitle: `k = ${settings.k}, all matrices`,
        x: { label: "ε: a vector counts if every cosine is below", from: 0, to: 1, ticks: [0, 0.2, 0.4, 0.6, 0.8, 1] },
        y: { label: "intruder dimensions", from: 0, integer: true },
      },
    ),
    explanation:
      "The number of intruders for every threshold ε. A curve that has risen already at small ε means vectors unlike anything in the base; one that stays at zero up to 0.8 or 0.9 is what full fine-tuning looked like.",
    source: `${PAPER}, figure 4`,
    data: [
      {
        name: `${id}.csv`,
        label: "CSV",
        text: csv(
          ["epsilon", ...all.map(({ name }) => name)],
          x.map((at, i) => [at, ...counts.map((one) => one[i]!)]),
        ),
      },
    ],
  };
}

function kSweep(all: readonly NamedReport[], { settings }: AnalysisReport): PageFigure {
  const x = Array.from({ length: 51 }, (_, i) => i * 2);
  const counts = all.map(({ report }) =>
    x.map((part) =>
      sum(report.matrices, ({ max_cos, epsilon }) =>
        countIntruders(max_cos, Math.round((part / 100) * max_cos.length), epsilon),
      ),
    ),
  );
  const id = "k-sweep";
  return {
    id,
    title: "Number of intruders over k",
    svg: sweepSvg(
      all.map(({ name }, i) => ({ name, x, y: counts[i]! })),
      {
        title: "Where in the spectrum they are",
        subtitle: `ε = ${settings.epsilon}, all matrices`,
        x: { label: "k: strongest vectors looked at (% of all)", from: 0, to: 100 },
        y: { label: "vectors below ε", from: 0, integer: true },
      },
    ),
    explanation:
      "The same count when more of the vectors of each matrix are looked at. A rise at the left are intruders among the strongest vectors; a rise at the right is the weak end of the spectrum, where vectors turn easily and mean little.",
    source: `${PAPER}, appendix I`,
    data: [
      {
        name: `${id}.csv`,
        label: "CSV",
        text: csv(
          ["k_percent", ...all.map(({ name }) => name)],
          x.map((at, i) => [at, ...counts.map((one) => one[i]!)]),
        ),
      },
    ],
  };
}

interface Profile {
  readonly id: string;
  readonly title: string;
  readonly y: Axis;
  readonly of: (matrix: MatrixReport) => number | null;
  readonly explanation: string;
  readonly source?: string;
}

/** None where no matrix is in a numbered layer, or none has the number. */
function profile({ matrices }: AnalysisReport, { id, title, y, of, explanation, source }: Profile): PageFigure[] {
  const places = placesOf(matrices.map(({ name }) => name));
  const numbers = matrices.map(of);
  const inLayers = places.flatMap(({ layer }, i) => (layer === undefined ? [] : [i]));
  const { kinds, layers, cells } = gridOf(
    inLayers.map((i) => places[i]!),
    inLayers.map((i) => numbers[i]!),
  );
  const isShown = (value: number | null) => value !== null && Number.isFinite(value) && (y.log !== true || value > 0);
  if (!cells.flat().some(isShown)) return [];
  const last = Math.max(...layers.map(Number));
  const byLayer = cells.map((row) => {
    const values: (number | null)[] = Array.from({ length: last + 1 }, () => null);
    for (const [i, layer] of layers.entries()) values[Number(layer)] = row[i]!;
    return values;
  });
  const shown = kinds.map((name, i) => ({ name, values: byLayer[i]! })).filter(({ values }) => values.some(isShown));
  return [
    {
      id,
      title,
      svg: layerProfileSvg(shown, { title, y }),
      explanation,
      ...(source === undefined ? {} : { source }),
      data: [
        {
          name: `${id}.csv`,
          label: "CSV",
          text: csv(
            ["name", "value"],
            matrices.map(({ name }, i) => [name, numbers[i]!]),
          ),
        },
      ],
    },
  ];
}

function rankByMethod(all: readonly NamedReport[]): PageFigure {
  const means = all.map(({ name, report }) => {
    const places = placesOf(report.matrices.map((matrix) => matrix.name));
    const byLayer = new Map<number, number[]>();
    for (const [i, { layer }] of places.entries()) {
      if (layer === undefined) continue;
      byLayer.set(layer, [...(byLayer.get(layer) ?? []), report.matrices[i]!.effective_rank_delta]);
    }
    const values = Array.from({ length: Math.max(-1, ...byLayer.keys()) + 1 }, (_, layer) => {
      const ranks = byLayer.get(layer);
      return ranks === undefined ? null : ranks.reduce((a, b) => a + b, 0) / ranks.length;
    });
    return { name, values };
  });
  const id = "effective-rank-by-method";
  const layers = Math.max(...means.map(({ values }) => values.length));
  return {
    id,
    title: "Effective rank of the update, by layer and method",
    svg: layerProfileSvg(means, {
      title: "Effective rank by layer and method",
      subtitle: "mean over the matrices of a layer",
      y: { label: "effective rank of ΔW", from: 0 },
    }),
    explanation:
      "Full fine-tuning was found to spread its update over far more directions than adapters, even adapters of high rank.",
    source: `${PAPER}, v1 figure 6`,
    data: [
      {
        name: `${id}.csv`,
        label: "CSV",
        text: csv(
          ["layer", ...means.map(({ name }) => name)],
          Array.from({ length: layers }, (_, layer) => [layer, ...means.map(({ values }) => values[layer] ?? null)]),
        ),
      },
    ],
  };
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
