/**
 * What becomes of intruder dimensions while training goes on: their singular value, their rank, and how much they turned since the last
 * checkpoint, in three charts under each other (arXiv 2410.21228, figure 5).
 */
import { CHART_WIDTH, type ChartTexts } from "./chart-size.ts";
import { type Axis, type PointSeries, panelsSvg, xyChartSvg } from "./xy-chart.ts";

export interface IntruderTrack {
  readonly name: string;
  readonly points: readonly {
    readonly step: number;
    readonly sigma: number;
    /** From 1. */
    readonly rank: number;
    /** |cos| with the same vector of the last checkpoint; null in its first. */
    readonly sameAsBefore: number | null;
  }[];
}

/** Their charts, in this order; the last one is missing where no track has two checkpoints. */
export const TRACK_CHARTS = ["sigma", "rank", "rotation"] as const;

/**
 * All three in one picture.
 * @param texts the height is that of one of the three
 * @returns the text of an SVG file
 * @throws ConfigError if there is no track
 */
export function intruderTracksSvg(tracks: readonly IntruderTrack[], texts: ChartTexts): string {
  return panelsSvg(intruderTrackCharts(tracks, texts), 1);
}

/** As {@link intruderTracksSvg}, a picture each: see {@link TRACK_CHARTS}. */
export function intruderTrackCharts(tracks: readonly IntruderTrack[], texts: ChartTexts): string[] {
  const { title, subtitle, note, width = CHART_WIDTH, height = 280 } = texts;
  const steps = tracks.flatMap(({ points }) => points.map(({ step }) => step));
  const x: Axis = {
    label: "training step",
    integer: true,
    from: Math.min(...steps),
    to: Math.max(...steps, Math.min(...steps) + 1),
  };
  const chart = (
    heading: string,
    y: Axis,
    of: (point: IntruderTrack["points"][number]) => number | null,
    more = {},
  ) => {
    const series = tracks.map(({ name, points }): PointSeries => ({
      name,
      joined: true,
      points: points.map((point) => ({ x: point.step, y: of(point) ?? NaN })),
    }));
    const isEmpty = series.every(({ points }) => points.every((point) => Number.isNaN(point.y)));
    return isEmpty ? [] : [xyChartSvg(series, { title: heading, width, height, x, y, ...more })];
  };
  const ranks = tracks.flatMap(({ points }) => points.map(({ rank }) => rank));
  return [
    ...chart(title, { label: "singular value σ" }, ({ sigma }) => sigma, subtitle === undefined ? {} : { subtitle }),
    ...chart(
      "Rank",
      {
        label: "rank (1 = largest σ)",
        reversed: true,
        ticks: rankTicks(Math.max(...ranks)),
        from: 0.5,
        to: Math.max(...ranks) + 0.5,
      },
      ({ rank }) => rank,
    ),
    ...chart(
      "Rotation",
      { label: "|cosine| with the checkpoint before", from: 0, to: 1.02 },
      ({ sameAsBefore }) => sameAsBefore,
      note === undefined ? {} : { note },
    ),
  ];
}

/** 1, and at most five more at equal distances. */
function rankTicks(last: number): number[] {
  const every = Math.max(1, Math.ceil((last - 1) / 5));
  return Array.from({ length: Math.floor((last - 1) / every) + 1 }, (_, i) => 1 + i * every);
}
