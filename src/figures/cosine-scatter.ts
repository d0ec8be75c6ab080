/**
 * Largest |cosine| of every tuned singular vector with the base's, over its rank: intruder dimensions are the points at the left that
 * lie below the line of ε (Shuttleworth et al., arXiv 2410.21228, definition 3.1).
 */
import { CHART_HEIGHT, CHART_WIDTH, type ChartTexts } from "./chart-size.ts";
import { xyChartSvg } from "./xy-chart.ts";

export interface CosineScatter extends ChartTexts {
  /** max_i |cos(y_j, x_i)|, by rank. */
  readonly maxCos: ArrayLike<number>;
  readonly epsilon: number;
  /** Vectors that are looked at. */
  readonly k: number;
  /** What a random vector would have. */
  readonly nullLevel: number;
  /** Ranks of the intruders, from 1. Default: those of the first k below ε. */
  readonly intruderRanks?: readonly number[];
}

const INTRUDER_COLOUR = "#d55e00";
const OTHER_COLOUR = "#0072b2";
/** Above this rank the axis is logarithmic: what matters is at its beginning. */
const MAX_LINEAR = 40;
/** Points of the first ranks are all drawn, and as many of the others as can be told apart. */
const ALL_UP_TO = 300;
const MAX_OTHERS = 400;

/** @returns the text of an SVG file @throws ConfigError if there is no vector */
export function cosineScatterSvg({ maxCos, epsilon, k, nullLevel, intruderRanks, ...texts }: CosineScatter): string {
  const points = ranksShown(maxCos.length).map((rank) => ({ x: rank, y: maxCos[rank - 1]! }));
  const isIntruder = (rank: number, cos: number) => intruderRanks?.includes(rank) ?? (rank <= k && cos < epsilon);
  const series = [
    {
      name: "intruders",
      colour: INTRUDER_COLOUR,
      points: points.filter(({ x, y }) => isIntruder(x, y)).map((point) => ({ ...point, label: String(point.x) })),
    },
    { name: "other vectors", colour: OTHER_COLOUR, points: points.filter(({ x, y }) => !isIntruder(x, y)) },
  ];
  return xyChartSvg(
    series.filter((one) => one.points.length > 0),
    {
      ...texts,
      width: texts.width ?? CHART_WIDTH,
      height: texts.height ?? CHART_HEIGHT,
      x: { label: "rank of the tuned vector (1 = largest σ)", log: maxCos.length > MAX_LINEAR, integer: true },
      y: { label: "largest |cosine| with a base vector", from: 0, to: 1.02, ticks: [0, 0.2, 0.4, 0.6, 0.8, 1] },
      uprights: [{ x: k + 0.5, label: `k = ${k}` }],
      labels: "above",
      levels: [
        { y: epsilon, label: `ε = ${epsilon}` },
        { y: nullLevel, label: `a random vector: ${nullLevel.toFixed(2)}` },
      ],
    },
  );
}

function ranksShown(count: number): number[] {
  const first = Array.from({ length: Math.min(count, ALL_UP_TO) }, (_, i) => i + 1);
  const rest = count - first.length;
  const shown = Math.min(rest, MAX_OTHERS);
  return [...first, ...Array.from({ length: shown }, (_, i) => ALL_UP_TO + Math.round(((i + 1) * rest) / shown))];
}
