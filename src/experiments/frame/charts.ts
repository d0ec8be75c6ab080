/**
 * Charts with their numbers: each takes the series that it draws and hands out both the picture and these numbers, in rows for a
 * file, so that the two cannot disagree. Numbers are not rounded.
 */
import { type CosineScatter, cosineScatterSvg } from "../../figures/cosine-scatter.ts";
import { type DotColumn, type DotRow, type DotRowsOptions, dotRowsSvg } from "../../figures/dot-rows.ts";
import { type IntruderTrack, intruderTracksSvg } from "../../figures/intruder-tracks.ts";
import type { ChartTexts } from "../../figures/chart-size.ts";
import { type LayerProfileOptions, layerProfileSvg, type LayerSeries } from "../../figures/layer-profile.ts";
import { type OverlapOptions, type OverlapPanel, overlapPanelsSvg } from "../../figures/overlap-panels.ts";
import { type RankCurveOptions, rankCurveSvg, type RankSeries } from "../../figures/rank-curve.ts";
import { type SimilarityMap, similarityMapSvg } from "../../figures/similarity-maps.ts";
import { type SweepOptions, type SweepSeries, sweepSvg } from "../../figures/sweep.ts";
import { type TaskMatrix, taskMatrixSvg } from "../../figures/task-matrix.ts";
import { panelsSvg, type PointSeries, xyChartSvg, type XyChartOptions } from "../../figures/xy-chart.ts";
import type { Cell, Chart } from "../experiment.ts";
import { sampleOf } from "./statistics.ts";

/** Numbers of one point, one per seed; their mean and deviation are what is drawn. Not finite: there is none. */
export type Samples = readonly number[];

export interface SampledSweep {
  readonly name: string;
  readonly x: readonly number[];
  /** Of each x. */
  readonly samples: readonly Samples[];
  /** Default: false. */
  readonly dashed?: boolean;
  /** Whether standard deviations are drawn. Default: true. */
  readonly bars?: boolean;
}

export interface SampledRanks {
  readonly name: string;
  readonly points: readonly { readonly rank: number | "full"; readonly samples: Samples }[];
}

/** @throws ConfigError if there is no point */
export function sweep(series: readonly SampledSweep[], options: SweepOptions): Chart {
  const drawn = series.map(({ name, x, samples, dashed = false, bars = true }): SweepSeries => {
    const found = samples.map(sampleOf);
    const spread = found.map((one) => (bars ? barOf(one, options.y.log ?? false) : 0));
    return { name, x, y: found.map(({ mean }) => mean), spread, dashed };
  });
  const rows = series.flatMap(({ name, x, samples }) =>
    x.map((at, i): SampledRow => ({ head: [name, at], samples: samples[i] ?? [] })),
  );
  return { svg: sweepSvg(drawn, options), data: sampled(["series", options.x.label], options, rows) };
}

/** @throws ConfigError if there is no point */
export function rankCurve(series: readonly SampledRanks[], options: RankCurveOptions): Chart {
  const drawn = series.map(({ name, points }): RankSeries => ({
    name,
    points: points.map(({ rank, samples }) => {
      const found = sampleOf(samples);
      return { rank, y: found.mean, spread: barOf(found, options.y.log ?? false) };
    }),
  }));
  const rows = series.flatMap(({ name, points }) =>
    points.map(({ rank, samples }): SampledRow => ({ head: [name, rank], samples })),
  );
  return { svg: rankCurveSvg(drawn, options), data: sampled(["series", "rank"], options, rows) };
}

interface SampledRow {
  readonly head: readonly Cell[];
  readonly samples: Samples;
}

/** A row for each point: mean, standard deviation, and the number of every seed; and one for a level. */
function sampled(
  head: readonly string[],
  { y, level }: Pick<SweepOptions, "y" | "level">,
  rows: readonly SampledRow[],
): Chart["data"] {
  const most = Math.max(0, ...rows.map(({ samples }) => samples.length));
  const bySeed = Array.from({ length: most }, (_, i) => i);
  return {
    columns: [...head, `${y.label}: mean`, "standard deviation", ...bySeed.map((i) => `value ${i + 1}`)],
    rows: [
      ...rows.map((row) => {
        const { mean, deviation, n } = sampleOf(row.samples);
        return [
          ...row.head,
          number(mean),
          n < 2 ? null : deviation,
          ...bySeed.map((i) => number(row.samples[i] ?? NaN)),
        ];
      }),
      ...(level === undefined ? [] : [[level.label, null, number(level.y), null, ...bySeed.map(() => null)]]),
    ],
  };
}

/** On a logarithmic axis a bar must not reach 0. */
function barOf({ mean, deviation }: ReturnType<typeof sampleOf>, log: boolean): number {
  return log ? Math.min(deviation, 0.9 * Math.abs(mean)) : deviation;
}

/** @throws ConfigError if there is no number */
export function layerProfile(series: readonly LayerSeries[], options: LayerProfileOptions): Chart {
  const { firstLayer = 0, y } = options;
  const rows = series.flatMap(({ name, values }) => values.map((value, i) => [name, firstLayer + i, value]));
  return { svg: layerProfileSvg(series, options), data: { columns: ["series", "layer", y.label], rows } };
}

/** @throws ConfigError if there is no point */
export function xyChart(series: readonly PointSeries[], options: XyChartOptions): Chart {
  const rows = series.flatMap(({ name, points }) =>
    points.map(({ x, y, ySpread }) => [name, number(x), number(y), ySpread ?? null]),
  );
  const hasSpread = rows.some((row) => row[3] !== null);
  const columns = ["series", options.x.label, options.y.label, "standard deviation"];
  const width = hasSpread ? 4 : 3;
  return {
    svg: xyChartSvg(series, options),
    data: { columns: columns.slice(0, width), rows: rows.map((row) => row.slice(0, width)) },
  };
}

/** @throws ConfigError if there is no row */
export function dotRows(rows: readonly DotRow[], columns: readonly DotColumn[], options: DotRowsOptions): Chart {
  return {
    svg: dotRowsSvg(rows, columns, options),
    data: {
      columns: ["row", "group", ...columns.flatMap(({ title }) => [title, `${title}: standard deviation`])],
      rows: rows.map(({ label, group, values }) => [
        label,
        group,
        ...values.flatMap((one) => [one?.value ?? null, one?.spread ?? null]),
      ]),
    },
  };
}

/** A row of numbers for each i of each panel, with a column for each j. @throws ConfigError if there is no cell */
export function overlapPanels(
  panels: readonly OverlapPanel[],
  options: OverlapOptions & { readonly columns: number },
): Chart {
  const width = Math.max(0, ...panels.map(({ grid }) => grid[0]?.length ?? 0));
  return {
    svg: overlapPanelsSvg(panels, options),
    data: {
      columns: ["panel", "i", ...Array.from({ length: width }, (_, j) => `j = ${j + 1}`)],
      rows: panels.flatMap(({ title, grid }) =>
        grid.map((row, i) => [title, i + 1, ...Array.from({ length: width }, (_, j) => row[j] ?? null)]),
      ),
    },
  };
}

/** @throws ConfigError if there is no cell */
export function similarityMap(map: SimilarityMap): Chart {
  const { values } = map;
  const columns = ["base_vector", ...(values[0] ?? []).map((_, j) => `tuned_${j + 1}`)];
  return { svg: similarityMapSvg(map), data: { columns, rows: values.map((row, i) => [i + 1, ...row]) } };
}

/** @throws ConfigError if there is no vector */
export function cosineScatter(scatter: CosineScatter): Chart {
  const rows = Array.from(scatter.maxCos, (value, i) => [i + 1, value]);
  return { svg: cosineScatterSvg(scatter), data: { columns: ["rank", "largest |cosine|"], rows } };
}

/** @throws ConfigError if there is no track */
export function intruderTracks(tracks: readonly IntruderTrack[], texts: ChartTexts): Chart {
  return {
    svg: intruderTracksSvg(tracks, texts),
    data: {
      columns: ["track", "step", "σ", "rank", "|cosine| with the last checkpoint"],
      rows: tracks.flatMap(({ name, points }, i) =>
        points.map(({ step, sigma, rank, sameAsBefore }) => [`${i + 1}. ${name}`, step, sigma, rank, sameAsBefore]),
      ),
    },
  };
}

/** Accuracies as shares, not in percent. @throws ConfigError if there is no task */
export function taskMatrix(matrix: TaskMatrix): Chart {
  const { tasks, accuracies, baseline } = matrix;
  return {
    svg: taskMatrixSvg(matrix),
    data: {
      columns: ["after learning", ...tasks.map((task) => `accuracy on ${task}`)],
      rows: [
        ...(baseline === undefined ? [] : [["(nothing yet)", ...baseline]]),
        ...accuracies.map((row, i) => [`${i + 1}. ${tasks[i]!}`, ...row]),
      ],
    },
  };
}

/**
 * Charts beside each other, as one.
 * @param columns charts in a row
 * @throws ConfigError if there is no chart
 */
export function panels(charts: readonly (readonly [title: string, chart: Chart])[], columns: number): Chart {
  const [head = []] = charts.map(([, { data }]) => data.columns);
  return {
    svg: panelsSvg(
      charts.map(([, { svg }]) => svg),
      columns,
    ),
    data: {
      columns: ["panel", ...head],
      rows: charts.flatMap(([title, { data }]) => data.rows.map((row) => [title, ...row])),
    },
  };
}

function number(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
