/**
 * Curves over steps, such as the loss of a run, as SVG that needs no other file. Each series is a line of running means
 * over the faint points that it is the mean of, or a smooth line of the caller's over a faint one.
 */

import { scaleLinear } from "d3-scale";
import type { ScaleLinear } from "d3-scale";
import { line } from "d3-shape";
import { ConfigError, ShapeError } from "../errors.ts";
import { COLOURS, colourOf } from "./colours.ts";
import { FONT_FAMILY, escapeXml, fitText, px, textWidth } from "./svg.ts";

export interface Series {
  readonly name: string;
  /** Positions, in rising order. */
  readonly x: ArrayLike<number>;
  /** As many values. One that is not finite leaves a gap. */
  readonly y: ArrayLike<number>;
  /** As many values of a smooth line, in place of running means; `y` is then drawn as a faint line. */
  readonly smoothed?: ArrayLike<number>;
}

export interface Mark {
  /** Where a vertical line is drawn. */
  readonly x: number;
  /** What happens there. */
  readonly label: string;
}

export interface LineChartOptions {
  title: string;
  subtitle?: string;
  /** With its unit, if it has one: `"step"`, `"time (s)"`. */
  xLabel: string;
  /** With its unit, if it has one: `"cross-entropy (nats)"`. */
  yLabel: string;
  /** Pixels. Default 860 × 480. */
  width?: number;
  height?: number;
  /** Points in a running mean, centred. Default: a fiftieth of the series, so 1 (no smoothing) below 100 points. */
  smoothing?: number;
  marks?: readonly Mark[];
  /** Stands below the chart: how the smooth lines were made, for example. */
  note?: string;
}

/** More lines than this cannot be seen on a chart some 800 pixels wide; they only make the file large. */
const MAX_LINE_VERTICES = 400;
const MAX_POINTS = 1200;
const MARGIN = { left: 64, right: 28, bottom: 62 };
const TITLE_SIZE = 17;
const TEXT_SIZE = 12;

interface Curve {
  name: string;
  colour: string;
  dash: string | undefined;
  /** Finite points. */
  raw: [x: number, y: number][];
  /** Running means, or the smooth line that was given; a gap is NaN. */
  smooth: [x: number, y: number][];
  /** Values as a line, a gap is NaN; only under a smooth line that was given. */
  faint: [x: number, y: number][] | undefined;
  /** Points in a running mean; 1 where there is none. */
  window: number;
}

/**
 * Draws the series. The vertical range holds every line and all but the outermost hundredth of the points at either
 * end; how many points lie outside is said below the chart.
 * @returns the text of an SVG file
 * @throws ConfigError when there is no finite point, or a size or the smoothing is not a number above 0
 * @throws ShapeError when a series has not as many x as y
 */
export function lineChartSvg(series: readonly Series[], options: LineChartOptions): string {
  const { title, subtitle, xLabel, yLabel, width = 860, height = 480, marks = [], note } = options;
  for (const [name, value] of Object.entries({ width, height, smoothing: options.smoothing ?? 1 })) {
    if (!(value > 0 && value < Infinity)) {
      throw new ConfigError({ where: `line chart ${name}`, what: "bad number", got: value, expected: "above 0" });
    }
  }
  const curves = series.map((one, i) => curveOf(one, i, options.smoothing));
  if (curves.every(({ raw }) => raw.length === 0)) {
    throw new ConfigError({ where: `line chart "${title}"`, what: "there is no finite point to draw" });
  }

  const legend = layOutLegend(curves, width - MARGIN.left - MARGIN.right);
  const headHeight = 16 + TITLE_SIZE + (subtitle === undefined ? 0 : TEXT_SIZE + 8);
  const legendTop = headHeight + 14;
  // The name of the vertical axis stands above it, upright, where it can be read.
  const top = legendTop + legend.height + TEXT_SIZE + 16;
  const bottom = height - MARGIN.bottom;
  const left = MARGIN.left;
  const right = width - MARGIN.right;
  const x = scaleLinear(
    extent([...curves.flatMap(({ raw }) => raw.map(([at]) => at)), ...marks.map((mark) => mark.x)]),
    [left, right],
  );
  const y = scaleLinear(verticalRange(curves), [bottom, top]).nice(tickCount(bottom - top, 50));

  const [low = 0, high = 1] = y.domain();
  const outside = curves.reduce((sum, { raw }) => sum + raw.filter(([, at]) => at < low || at > high).length, 0);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"` +
      ` font-family="${FONT_FAMILY}" font-size="${TEXT_SIZE}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="${left}" y="${16 + TITLE_SIZE - 3}" font-size="${TITLE_SIZE}" font-weight="bold" fill="#111">` +
      `${escapeXml(fitText(title, width - left, TITLE_SIZE, "bold"))}</text>`,
    ...(subtitle === undefined
      ? []
      : [
          `<text x="${left}" y="${16 + TITLE_SIZE + TEXT_SIZE + 4}" fill="#555">` +
            `${escapeXml(fitText(subtitle, width - left, TEXT_SIZE))}</text>`,
        ]),
    `<g transform="translate(${left} ${legendTop})">${legend.svg}</g>`,
    axes(x, y, { xLabel, yLabel, width, height, top }),
    ...markLines(marks, x, top, bottom),
    ...faintLines(curves, x, y),
    ...curves.map((curve) => curvePoints(curve, x, y)),
    ...curves.map((curve) => curveLine(curve, x, y)),
    `<text x="${left}" y="${height - 12}" font-size="11" fill="#666">${escapeXml(caption(curves, outside, note))}</text>`,
    "</svg>",
  ].join("\n");
}

function curveOf({ name, x, y, smoothed }: Series, index: number, smoothing: number | undefined): Curve {
  if (x.length !== y.length || (smoothed !== undefined && smoothed.length !== y.length)) {
    throw new ShapeError({
      where: `line chart series "${name}"`,
      what: "not as many positions as values",
      got: `${x.length} x, ${y.length} y${smoothed === undefined ? "" : `, ${smoothed.length} smoothed`}`,
    });
  }
  const along = (values: ArrayLike<number>) =>
    Array.from({ length: values.length }, (_, i): [number, number] => [x[i] ?? NaN, values[i] ?? NaN]);
  const all = along(y);
  const window = smoothed === undefined ? Math.max(1, Math.round(smoothing ?? y.length / 50)) : 1;
  const turn = Math.floor(index / COLOURS.length);
  return {
    name,
    colour: colourOf(index),
    dash: turn === 0 ? undefined : `${7 - Math.min(turn, 5)} 3`,
    raw: all.filter(([at, value]) => Number.isFinite(at) && Number.isFinite(value)),
    smooth: smoothed === undefined ? runningMean(all, window) : along(smoothed),
    faint: smoothed === undefined ? undefined : all,
    window,
  };
}

/** The mean of the finite values in a centred window, cut off at the ends; NaN where the value itself is not finite. */
function runningMean(points: readonly [number, number][], window: number): [number, number][] {
  const sums = [0];
  const counts = [0];
  for (const [, value] of points) {
    const finite = Number.isFinite(value);
    sums.push((sums.at(-1) ?? 0) + (finite ? value : 0));
    counts.push((counts.at(-1) ?? 0) + (finite ? 1 : 0));
  }
  return points.map(([at, value], i) => {
    const reach = Math.floor(window / 2);
    const from = Math.max(0, i - reach);
    const to = Math.min(points.length, i + reach + 1);
    const mean = ((sums[to] ?? 0) - (sums[from] ?? 0)) / ((counts[to] ?? 0) - (counts[from] ?? 0));
    return [at, Number.isFinite(value) ? mean : NaN];
  });
}

function extent(values: readonly number[]): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  // One position, or one value, stands in the middle of a range of its own size.
  if (low === high) return [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  return [low, high];
}

function verticalRange(curves: readonly Curve[]): [number, number] {
  const values = curves.flatMap(({ raw, smooth, faint, window }) => {
    const sorted = Float64Array.from(raw, ([, value]) => value).sort();
    const spare = Math.floor(sorted.length / 100);
    const core = [sorted[spare] ?? NaN, sorted[sorted.length - 1 - spare] ?? NaN];
    const drawn = window === 1 && faint === undefined ? raw : smooth;
    return [...core, ...drawn.map(([, value]) => value)].filter((value) => Number.isFinite(value));
  });
  return extent(values);
}

/** About how many ticks stand on an axis, at least 2. */
function tickCount(pixels: number, apart: number): number {
  return Math.max(2, Math.round(pixels / apart));
}

function layOutLegend(curves: readonly Curve[], width: number): { svg: string; height: number } {
  const swatch = 26;
  const rowHeight = 20;
  let x = 0;
  let row = 0;
  const items = curves.map(({ name, colour, dash }) => {
    const shown = fitText(name, width - swatch, TEXT_SIZE);
    const needed = swatch + textWidth(shown, TEXT_SIZE);
    if (x > 0 && x + needed > width) [x, row] = [0, row + 1];
    const y = row * rowHeight + 8;
    const item =
      `<path d="M${px(x)} ${y}h18" stroke="${colour}" stroke-width="3"${dashed(dash)}/>` +
      `<text x="${px(x + swatch)}" y="${y + 4}" fill="#222">${escapeXml(shown)}</text>`;
    x += needed + 18;
    return item;
  });
  return { svg: items.join(""), height: (row + 1) * rowHeight };
}

function axes(
  x: ScaleLinear<number, number>,
  y: ScaleLinear<number, number>,
  {
    xLabel,
    yLabel,
    width,
    height,
    top,
  }: { xLabel: string; yLabel: string; width: number; height: number; top: number },
): string {
  const bottom = height - MARGIN.bottom;
  const right = width - MARGIN.right;
  const yCount = tickCount(bottom - top, 50);
  const xCount = tickCount(right - MARGIN.left, 90);
  const yFormat = y.tickFormat(yCount);
  const xFormat = x.tickFormat(xCount);
  const grid = y.ticks(yCount).map((tick) => {
    const at = px(y(tick));
    return (
      `<path d="M${MARGIN.left} ${at}H${right}" stroke="#e4e4e4"/>` +
      `<text x="${MARGIN.left - 8}" y="${px(y(tick) + 4)}" text-anchor="end" fill="#444">${yFormat(tick)}</text>`
    );
  });
  const ticks = x.ticks(xCount).map((tick) => {
    const at = px(x(tick));
    return (
      `<path d="M${at} ${bottom}v5" stroke="#888"/>` +
      `<text x="${at}" y="${bottom + 19}" text-anchor="middle" fill="#444">${xFormat(tick)}</text>`
    );
  });
  return [
    ...grid,
    `<path d="M${MARGIN.left} ${bottom}H${right}" stroke="#888"/>`,
    ...ticks,
    `<text x="${MARGIN.left - 48}" y="${top - 14}" fill="#222">↑ ${escapeXml(yLabel)}</text>`,
    `<text x="${right}" y="${bottom + 38}" text-anchor="end" fill="#222">${escapeXml(xLabel)} →</text>`,
  ].join("\n");
}

/** Vertical lines with their labels at the top; a label that would run into the one before it goes a line lower. */
function markLines(marks: readonly Mark[], x: ScaleLinear<number, number>, top: number, bottom: number): string[] {
  const [left = 0, right = 0] = x.range();
  const rowEnds: number[] = [];
  return [...marks]
    .sort((a, b) => a.x - b.x)
    .map(({ x: at, label }) => {
      const size = 11;
      const shown = fitText(label, (right - left) / 2, size);
      const width = textWidth(shown, size) + 6;
      const flip = x(at) + width > right;
      const start = flip ? x(at) - width : x(at);
      let row = rowEnds.findIndex((end) => end <= start);
      if (row < 0) row = rowEnds.length;
      rowEnds[row] = start + width;
      return (
        `<path d="M${px(x(at))} ${px(top)}V${bottom}" stroke="#999" stroke-dasharray="3 3"/>` +
        `<text x="${px(x(at) + (flip ? -5 : 5))}" y="${px(top + 11 + row * 15)}" font-size="${size}" fill="#666"` +
        `${flip ? ' text-anchor="end"' : ""}>${escapeXml(shown)}</text>`
      );
    });
}

/** The values under smooth lines that were given. What is outside of the range is cut off at its border. */
function faintLines(
  curves: readonly Curve[],
  x: ScaleLinear<number, number>,
  y: ScaleLinear<number, number>,
): string[] {
  const [left = 0, right = 0] = x.range();
  const [bottom = 0, top = 0] = y.range();
  const paths = curves
    .filter(({ faint }) => faint !== undefined)
    .map(
      ({ faint = [], colour }) =>
        `<path d="${linePath(thin(faint, MAX_POINTS), x, y)}" stroke="${colour}" stroke-width="1.5"` +
        ` stroke-opacity="0.4" stroke-linejoin="round" fill="none" clip-path="url(#plot)"/>`,
    );
  if (paths.length === 0) return [];
  const area = `<rect x="${left}" y="${px(top)}" width="${right - left}" height="${px(bottom - top)}"/>`;
  return [`<clipPath id="plot">${area}</clipPath>`, ...paths];
}

/** One path of dots for a whole series: lines of no length with round ends, a few bytes a point. */
function curvePoints(curve: Curve, x: ScaleLinear<number, number>, y: ScaleLinear<number, number>): string {
  // Under a smooth line that was given, the faint line is enough; but a line through one point cannot be seen.
  const most = curve.faint === undefined ? 60 : 1;
  if (curve.window === 1 && curve.raw.length > most) return "";
  const [low = 0, high = 1] = y.domain();
  const dots = thin(curve.raw, MAX_POINTS)
    .filter(([, value]) => value >= low && value <= high)
    .map(([at, value]) => `M${Math.round(x(at) * 10) / 10} ${Math.round(y(value) * 10) / 10}h0`);
  const [size, opacity] = curve.window === 1 ? [6, 1] : [3, 0.22];
  return (
    `<path d="${dots.join("")}" stroke="${curve.colour}" stroke-width="${size}" stroke-linecap="round"` +
    ` stroke-opacity="${opacity}" fill="none"/>`
  );
}

function curveLine(curve: Curve, x: ScaleLinear<number, number>, y: ScaleLinear<number, number>): string {
  return (
    `<path d="${linePath(thin(curve.smooth, MAX_LINE_VERTICES), x, y)}" stroke="${curve.colour}" stroke-width="2"` +
    ` stroke-linejoin="round" fill="none"${dashed(curve.dash)}/>`
  );
}

/** A line through the points, with a gap at each that is not finite. */
function linePath(
  points: [x: number, y: number][],
  x: ScaleLinear<number, number>,
  y: ScaleLinear<number, number>,
): string {
  const draw = line()
    .defined(([, value]) => Number.isFinite(value))
    .x(([at]) => x(at))
    .y(([, value]) => y(value))
    .digits(1);
  return draw(points) ?? "";
}

function dashed(dash: string | undefined): string {
  return dash === undefined ? "" : ` stroke-dasharray="${dash}"`;
}

/** At most `limit` of the points, evenly spread, with the first and the last. */
function thin<T>(points: readonly T[], limit: number): T[] {
  if (points.length <= limit) return [...points];
  return Array.from({ length: limit }, (_, i) => points[Math.round((i * (points.length - 1)) / (limit - 1))]).filter(
    (point) => point !== undefined,
  );
}

function caption(curves: readonly Curve[], outside: number, note: string | undefined): string {
  const windows = [...new Set(curves.map(({ window }) => window).filter((window) => window > 1))].sort((a, b) => a - b);
  const parts: string[] = note === undefined ? [] : [note];
  if (windows.length > 0) {
    const range = windows.length === 1 ? `${windows[0]}` : `${windows[0]} to ${windows.at(-1)}`;
    const thinned = curves.some(({ raw, window }) => window > 1 && raw.length > MAX_POINTS);
    parts.push(`Lines: running means of ${range} points. Faint: ${thinned ? "some of the points" : "the points"}.`);
  }
  if (outside > 0) parts.push(`${outside} ${outside === 1 ? "point lies" : "points lie"} outside of the range shown.`);
  return parts.join(" ");
}
