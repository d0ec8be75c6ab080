/** A number of each layer, a line for each series (a kind of matrix, or a tuning method): effective ranks, norms of the update. */
import { CHART_HEIGHT, CHART_WIDTH, type ChartTexts } from "./chart-size.ts";
import { type Axis, type PointSeries, xyChartSvg } from "./xy-chart.ts";

export interface LayerSeries {
  readonly name: string;
  /** By layer; null: there is none. */
  readonly values: readonly (number | null)[];
}

export interface LayerProfileOptions extends ChartTexts {
  readonly y: Axis;
  /** Number of the first layer. Default: 0. */
  readonly firstLayer?: number;
}

/** @returns the text of an SVG file @throws ConfigError if there is no number */
export function layerProfileSvg(
  series: readonly LayerSeries[],
  { y, firstLayer = 0, ...texts }: LayerProfileOptions,
): string {
  const drawn = series.map(({ name, values }, i): PointSeries => {
    const points = values.map((value, layer) => ({ x: firstLayer + layer, y: value ?? NaN }));
    return { name, joined: true, dots: true, dashed: i >= 7, points };
  });
  return xyChartSvg(drawn, {
    ...texts,
    width: texts.width ?? CHART_WIDTH,
    height: texts.height ?? CHART_HEIGHT,
    x: { label: "layer", integer: true },
    y,
  });
}
