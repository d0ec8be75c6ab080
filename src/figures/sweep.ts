/** Curves over a setting that is swept: numbers of intruders over ε or k, a line for each series. */
import { CHART_HEIGHT, CHART_WIDTH, type ChartTexts } from "./chart-size.ts";
import { type Axis, type PointSeries, xyChartSvg } from "./xy-chart.ts";

export interface SweepSeries {
  readonly name: string;
  readonly x: ArrayLike<number>;
  /** As many values. */
  readonly y: ArrayLike<number>;
  /** Half of the length of bars: a standard deviation over seeds. */
  readonly spread?: ArrayLike<number>;
  /** Default: false. */
  readonly dashed?: boolean;
}

export interface SweepOptions extends ChartTexts {
  readonly x: Axis;
  readonly y: Axis;
  /** A horizontal line, such as the number at full fine-tuning. */
  readonly level?: { readonly y: number; readonly label: string };
}

/** @returns the text of an SVG file @throws ConfigError if there is no point */
export function sweepSvg(series: readonly SweepSeries[], { x, y, level, ...texts }: SweepOptions): string {
  const drawn = series.map((one): PointSeries => {
    const points = Array.from(one.x, (at, i) => ({ x: at, y: one.y[i] ?? NaN, ySpread: one.spread?.[i] ?? 0 }));
    return { name: one.name, joined: true, dots: points.length <= 24, dashed: one.dashed ?? false, points };
  });
  return xyChartSvg(drawn, {
    ...texts,
    width: texts.width ?? CHART_WIDTH,
    height: texts.height ?? CHART_HEIGHT,
    x,
    y,
    ...(level === undefined ? {} : { levels: [level] }),
  });
}
