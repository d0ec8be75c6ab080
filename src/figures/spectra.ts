/** Singular values by rank, on logarithmic axes: those of a base's matrix, of the tuned one and of their difference. */
import { CHART_HEIGHT, CHART_WIDTH, type ChartTexts } from "./chart-size.ts";
import { type PointSeries, xyChartSvg } from "./xy-chart.ts";

export interface Spectrum {
  readonly name: string;
  /** In descending order. Values that are only rounding are not drawn: those below 10⁻⁷ of the largest of all. */
  readonly sigma: ArrayLike<number>;
  /** Ranks of values that are marked by circles, from 1. */
  readonly marked?: readonly number[];
  /** Default: false. */
  readonly dashed?: boolean;
}

/** Of float32, in which most weights are. */
const ROUNDING = 1e-7;
/** Vertices of a line; with more of them it looks the same. */
const MAX_VERTICES = 240;

/** @returns the text of an SVG file @throws ConfigError if there is no value above 0 */
export function spectraSvg(spectra: readonly Spectrum[], texts: ChartTexts & { readonly markedName?: string }): string {
  const floor = ROUNDING * Math.max(...spectra.flatMap(({ sigma }) => (sigma.length === 0 ? [] : [sigma[0]!])));
  const longest = Math.max(...spectra.map(({ sigma }) => sigma.length));
  const lines = spectra.map(({ name, sigma, dashed = false }): PointSeries => {
    const points = ranksShown(sigma.length).map((rank) => ({ x: rank, y: sigma[rank - 1]! }));
    const drawn = points.filter((point) => point.y > floor);
    return { name, joined: true, dots: drawn.length <= 24, dashed, points: drawn };
  });
  const marked = spectra.flatMap(({ sigma, marked: ranks = [] }) =>
    ranks.map((rank) => ({ x: rank, y: sigma[rank - 1] ?? NaN, label: String(rank) })),
  );
  const circles = { name: texts.markedName ?? "marked", colour: "#b3261e", hollow: true, points: marked };
  return xyChartSvg([...lines, ...(marked.length === 0 ? [] : [circles])], {
    ...texts,
    width: texts.width ?? CHART_WIDTH,
    height: texts.height ?? CHART_HEIGHT,
    labels: "above",
    x: { label: "rank (1 = largest)", log: longest > 40, integer: true },
    y: { label: "singular value σ", log: true },
  });
}

/** All of them, or as many as can be told apart on a logarithmic axis. */
function ranksShown(count: number): number[] {
  if (count <= MAX_VERTICES) return Array.from({ length: count }, (_, i) => i + 1);
  const at = (i: number) => Math.round(count ** (i / (MAX_VERTICES - 1)));
  return [...new Set(Array.from({ length: MAX_VERTICES }, (_, i) => at(i)))];
}
