/**
 * A number over the rank of the adapters, on a logarithmic axis on which full fine-tuning has its own place at the right: forgetting
 * ("U curve": arXiv 2410.21228 v1, figure 9), effective rank, number of intruders.
 */
import { CHART_HEIGHT, CHART_WIDTH, type ChartTexts } from "./chart-size.ts";
import { type Axis, type PointSeries, xyChartSvg } from "./xy-chart.ts";

export interface RankSeries {
  readonly name: string;
  readonly points: readonly {
    /** `"full"`: fine-tuning of whole matrices. */
    readonly rank: number | "full";
    readonly y: number;
    /** Half of the length of a bar: a standard deviation over seeds. */
    readonly spread?: number;
  }[];
}

export interface RankCurveOptions extends ChartTexts {
  readonly y: Axis;
  /** A horizontal line, such as the loss before training. */
  readonly level?: { readonly y: number; readonly label: string };
}

/** @returns the text of an SVG file @throws ConfigError if there is no point */
export function rankCurveSvg(series: readonly RankSeries[], { y, level, ...texts }: RankCurveOptions): string {
  const numbers = series.flatMap(({ points }) => points.flatMap(({ rank }) => (rank === "full" ? [] : [rank])));
  const ranks = [...new Set(numbers)].sort((a, b) => a - b);
  const hasFull = series.some(({ points }) => points.some(({ rank }) => rank === "full"));
  // As far from the last rank as ranks are apart, and at least a factor of two.
  const last = ranks.at(-1) ?? 1;
  const full = last * Math.max(2, last / (ranks.at(-2) ?? last));
  const drawn = series.map(({ name, points }): PointSeries => {
    const placed = points.map(({ rank, y: at, spread = 0 }) => ({
      x: rank === "full" ? full : rank,
      y: at,
      ySpread: spread,
    }));
    return { name, joined: true, points: placed.sort((a, b) => a.x - b.x) };
  });
  const ticks = [...thinned(ranks, hasFull ? 8 : 9), ...(hasFull ? [full] : [])];
  return xyChartSvg(drawn, {
    ...texts,
    width: texts.width ?? CHART_WIDTH,
    height: texts.height ?? CHART_HEIGHT,
    x: {
      label: "rank r of the adapter",
      log: true,
      ticks,
      format: (tick) => (hasFull && tick === full ? "full" : String(tick)),
    },
    y,
    ...(level === undefined ? {} : { levels: [level] }),
  });
}

/** Every so many of them, from the first on. */
function thinned(ranks: readonly number[], most: number): number[] {
  const every = Math.ceil(ranks.length / most);
  return ranks.filter((_, i) => i % every === 0);
}
