/**
 * Points in a plane, as SVG: each with a label beside it, or those of a series joined by lines; scales may be logarithmic.
 */
import { scaleLinear, scaleLog } from "d3-scale";
import { ConfigError } from "../errors.ts";
import { colourOf } from "./colours.ts";
import { readableTicks } from "./log-ticks.ts";
import { escapeXml, fitText, FONT_FAMILY, px, textWidth } from "./svg.ts";

export interface Point {
  readonly x: number;
  readonly y: number;
  readonly label?: string;
  /** Half of the length of a bar on either side. */
  readonly xSpread?: number;
  readonly ySpread?: number;
}

export interface PointSeries {
  readonly name: string;
  readonly points: readonly Point[];
  /** Whether lines join the points, in their order. Default: false. */
  readonly joined?: boolean;
  /** Drawn as open circles. Default: false. */
  readonly hollow?: boolean;
}

export interface Axis {
  /** With its unit. */
  readonly label: string;
  /** Default: false. */
  readonly log?: boolean;
  /** Where ticks stand. Default: where numbers are round. */
  readonly ticks?: readonly number[];
  /** Text of a tick. */
  readonly format?: (value: number) => string;
  /** The axis reaches down to here. */
  readonly from?: number;
}

export interface Level {
  readonly y: number;
  readonly label?: string;
}

export interface XyChartOptions {
  readonly title: string;
  readonly subtitle?: string;
  readonly x: Axis;
  readonly y: Axis;
  /** Pixels. Default: 860 × 520. */
  readonly width?: number;
  readonly height?: number;
  readonly note?: string;
  /** Horizontal lines. */
  readonly levels?: readonly Level[];
}

const MARGIN = { left: 70, right: 28, bottom: 66 };
const TITLE_SIZE = 17;
const TEXT_SIZE = 12;
const LABEL_SIZE = 11;
const RADIUS = 4.5;

/** A scale of d3, as much of it as is used here. */
interface Scale {
  (value: number): number;
  ticks(count?: number): number[];
  tickFormat(count?: number): (value: number) => string;
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/**
 * @returns the text of an SVG file
 * @throws ConfigError if there is no point that can be drawn
 */
export function xyChartSvg(series: readonly PointSeries[], options: XyChartOptions): string {
  const { title, subtitle, width = 860, height = 520, note } = options;
  const isDrawn = ({ x, y }: Point) => isOn(x, options.x) && isOn(y, options.y);
  const drawn = series.map((one) => ({ ...one, points: one.points.filter(isDrawn) }));
  if (drawn.every(({ points }) => points.length === 0)) {
    throw new ConfigError({ where: `chart "${title}"`, what: "there is no point to draw" });
  }
  const legend = legendSvg(drawn, width - MARGIN.left - MARGIN.right);
  const headHeight = 16 + TITLE_SIZE + (subtitle === undefined ? 0 : TEXT_SIZE + 8);
  const top = headHeight + 14 + legend.height + TEXT_SIZE + 16;
  const area: Box = { left: MARGIN.left, right: width - MARGIN.right, top, bottom: height - MARGIN.bottom };
  const points = drawn.flatMap((one) => one.points);
  const levels = (options.levels ?? []).filter((level) => isOn(level.y, options.y));
  const x = scaleOf(options.x, reach(points, "x"), [area.left, area.right]);
  const y = scaleOf(options.y, [...reach(points, "y"), ...levels.map((level) => level.y)], [area.bottom, area.top]);
  const head = (at: number, content: string, more: string) =>
    `<text x="${area.left}" y="${at}" ${more}>${escapeXml(content)}</text>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"` +
      ` font-family="${FONT_FAMILY}" font-size="${TEXT_SIZE}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    head(
      16 + TITLE_SIZE - 3,
      fitText(title, width - area.left, TITLE_SIZE, "bold"),
      `font-size="${TITLE_SIZE}" font-weight="bold" fill="#111"`,
    ),
    ...(subtitle === undefined
      ? []
      : [head(16 + TITLE_SIZE + TEXT_SIZE + 4, fitText(subtitle, width - area.left, TEXT_SIZE), `fill="#555"`)]),
    `<g transform="translate(${area.left} ${headHeight + 14})">${legend.svg}</g>`,
    axesSvg(x, y, options, area),
    ...levels.map((level) => levelSvg(level, y(level.y), area)),
    ...drawn.map((one, i) => seriesSvg(one, colourOf(i), x, y)),
    ...labelsSvg(drawn, x, y, area),
    ...(note === undefined
      ? []
      : [head(height - 12, fitText(note, width - area.left - 8, LABEL_SIZE), `font-size="11" fill="#666"`)]),
    "</svg>",
  ].join("\n");
}

/** Pictures side by side, `columns` in a row, under each other from there on. @param charts SVG files of one size each */
export function panelsSvg(charts: readonly string[], columns: number): string {
  const sizes = charts.map((chart) => {
    const [, width = "0", height = "0"] = /width="(\d+)" height="(\d+)"/.exec(chart) ?? [];
    return { width: Number(width), height: Number(height) };
  });
  const [width, height] = [Math.max(...sizes.map((one) => one.width)), Math.max(...sizes.map((one) => one.height))];
  const rows = Math.ceil(charts.length / columns);
  const across = Math.min(columns, charts.length);
  const placed = charts.map((chart, i) =>
    chart.replace("<svg ", `<svg x="${(i % columns) * width}" y="${Math.floor(i / columns) * height}" `),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${across * width}" height="${rows * height}"` +
      ` viewBox="0 0 ${across * width} ${rows * height}" role="img">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    ...placed,
    "</svg>",
  ].join("\n");
}

function isOn(value: number, { log = false }: Axis): boolean {
  return Number.isFinite(value) && (!log || value > 0);
}

function reach(points: readonly Point[], axis: "x" | "y"): number[] {
  return points.flatMap((point) => {
    const spread = (axis === "x" ? point.xSpread : point.ySpread) ?? 0;
    return [point[axis] - spread, point[axis] + spread];
  });
}

function scaleOf({ log = false, from, ticks = [] }: Axis, values: readonly number[], range: [number, number]): Scale {
  const usable = [...values, ...ticks, ...(from === undefined ? [] : [from])].filter((value) => !log || value > 0);
  const [low, high] = [Math.min(...usable), Math.max(...usable)];
  if (log) {
    const pad = low === high ? 2 : (high / low) ** 0.05;
    return scaleLog([low / pad, high * pad], range);
  }
  const pad = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * 0.06;
  // A given lower end is meant: nothing lies below it.
  return scaleLinear([from === undefined ? low - pad : low, high + pad], range);
}

function axesSvg(x: Scale, y: Scale, options: XyChartOptions, { left, right, top, bottom }: Box): string {
  const xTicks = options.x.ticks ?? (options.x.log === true ? readableTicks(x.ticks(7)) : x.ticks(7));
  const yTicks = options.y.ticks ?? (options.y.log === true ? readableTicks(y.ticks(7)) : y.ticks(7));
  const xFormat = options.x.format ?? (options.x.log === true ? plain : x.tickFormat(7));
  const yFormat = options.y.format ?? (options.y.log === true ? plain : y.tickFormat(7));
  const grid = yTicks.map((tick) => {
    const at = px(y(tick));
    return (
      `<path d="M${left} ${at}H${right}" stroke="#e4e4e4"/>` +
      `<text x="${left - 8}" y="${px(y(tick) + 4)}" text-anchor="end" fill="#444">${escapeXml(yFormat(tick))}</text>`
    );
  });
  const marks = xTicks.map((tick) => {
    const at = px(x(tick));
    return (
      `<path d="M${at} ${bottom}v5" stroke="#888"/>` +
      `<text x="${at}" y="${bottom + 19}" text-anchor="middle" fill="#444">${escapeXml(xFormat(tick))}</text>`
    );
  });
  return [
    ...grid,
    `<path d="M${left} ${bottom}H${right}" stroke="#888"/>`,
    ...marks,
    `<text x="${left - 54}" y="${top - 14}" fill="#222">↑ ${escapeXml(options.y.label)}</text>`,
    `<text x="${right}" y="${bottom + 38}" text-anchor="end" fill="#222">${escapeXml(options.x.label)} →</text>`,
  ].join("\n");
}

function plain(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString("en-US", { maximumSignificantDigits: 3 });
}

function levelSvg({ label }: Level, at: number, { left, right }: Box): string {
  const text = `<text x="${right - 4}" y="${px(at - 5)}" font-size="${LABEL_SIZE}" text-anchor="end" fill="#666">`;
  return (
    `<path d="M${left} ${px(at)}H${right}" stroke="#777" stroke-dasharray="5 4"/>` +
    (label === undefined ? "" : `${text}${escapeXml(label)}</text>`)
  );
}

function seriesSvg(
  { points, joined = false, hollow = false }: PointSeries,
  colour: string,
  x: Scale,
  y: Scale,
): string {
  const line = points.map((point, i) => `${i === 0 ? "M" : "L"}${px(x(point.x))} ${px(y(point.y))}`).join("");
  const bars = points.flatMap((point) => {
    const { xSpread = 0, ySpread = 0 } = point;
    const [at, up] = [px(x(point.x)), px(y(point.y))];
    return [
      ...(xSpread > 0 ? [`M${px(x(point.x - xSpread))} ${up}H${px(x(point.x + xSpread))}`] : []),
      ...(ySpread > 0 ? [`M${at} ${px(y(point.y - ySpread))}V${px(y(point.y + ySpread))}`] : []),
    ];
  });
  const fill = hollow ? `fill="#fff" stroke="${colour}" stroke-width="2"` : `fill="${colour}"`;
  return [
    joined ? `<path d="${line}" stroke="${colour}" stroke-width="2" fill="none" stroke-linejoin="round"/>` : "",
    bars.length === 0 ? "" : `<path d="${bars.join("")}" stroke="${colour}" stroke-width="1.5" stroke-opacity="0.6"/>`,
    ...points.map((point) => `<circle cx="${px(x(point.x))}" cy="${px(y(point.y))}" r="${RADIUS}" ${fill}/>`),
  ].join("");
}

/** Where a label may stand, from near to far: beside its point, then around it, with a thin line to it. */
const DISTANCES = [9, 20, 34, 50, 68, 90, 115, 145];
const ANGLES = [0, 180, -35, 35, -145, 145, -90, 90, -15, 15, -165, 165, -60, 60, -120, 120];

function labelsSvg(series: readonly PointSeries[], x: Scale, y: Scale, area: Box): string[] {
  const taken: Box[] = series.flatMap(({ points }) =>
    points.flatMap((point) => {
      const { xSpread = 0, ySpread = 0 } = point;
      const bar = { left: x(point.x - xSpread), right: x(point.x + xSpread), top: y(point.y), bottom: y(point.y) };
      const upright = { left: x(point.x), right: x(point.x), top: y(point.y + ySpread), bottom: y(point.y - ySpread) };
      return [around(x(point.x), y(point.y)), bar, upright];
    }),
  );
  return series.flatMap(({ points }, i) =>
    points.flatMap((point) => {
      if (point.label === undefined) return [];
      const at = { x: x(point.x), y: y(point.y) };
      const place = freePlace(at, textWidth(point.label, LABEL_SIZE), taken, area);
      if (place === undefined) return [];
      taken.push(place.box);
      const { box, distance } = place;
      const nearest = { x: clamp(at.x, box.left, box.right), y: clamp(at.y, box.top, box.bottom) };
      const leader =
        distance <= DISTANCES[0]!
          ? ""
          : `<path d="M${px(at.x)} ${px(at.y)}L${px(nearest.x)} ${px(nearest.y)}" stroke="#bbb" stroke-width="1"/>`;
      return [
        `${leader}<text x="${px(box.left)}" y="${px(box.bottom - 3)}" font-size="${LABEL_SIZE}" fill="${colourOf(i)}"` +
          ` stroke="#fff" stroke-width="3" stroke-linejoin="round" paint-order="stroke">` +
          `${escapeXml(point.label)}</text>`,
      ];
    }),
  );
}

function around(x: number, y: number): Box {
  return { left: x - RADIUS, right: x + RADIUS, top: y - RADIUS, bottom: y + RADIUS };
}

function freePlace(
  at: { readonly x: number; readonly y: number },
  width: number,
  taken: readonly Box[],
  area: Box,
): { box: Box; distance: number } | undefined {
  const height = LABEL_SIZE + 3;
  for (const distance of DISTANCES) {
    for (const angle of ANGLES) {
      const [dx, dy] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
      const edge = { x: at.x + distance * dx, y: at.y + distance * dy };
      const left = dx > 0.3 ? edge.x : dx < -0.3 ? edge.x - width : edge.x - width / 2;
      const middle = edge.y + (Math.abs(dy) > 0.9 ? (Math.sign(dy) * height) / 2 : 0);
      const box = { left, right: left + width, top: middle - height / 2, bottom: middle + height / 2 };
      const isInside = box.left >= area.left && box.right <= area.right + 20 && box.top >= area.top - 4;
      if (!isInside || box.bottom > area.bottom) continue;
      if (!taken.some((other) => overlaps(box, other))) return { box, distance };
    }
  }
  return undefined;
}

function overlaps(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

function legendSvg(series: readonly PointSeries[], width: number): { svg: string; height: number } {
  if (series.length < 2) return { svg: "", height: 0 };
  let [x, row] = [0, 0];
  const items = series.map(({ name, hollow = false }, i) => {
    const needed = 16 + textWidth(name, TEXT_SIZE);
    if (x > 0 && x + needed > width) [x, row] = [0, row + 1];
    const fill = hollow ? `fill="#fff" stroke="${colourOf(i)}" stroke-width="2"` : `fill="${colourOf(i)}"`;
    const item =
      `<circle cx="${px(x + 5)}" cy="${row * 20 + 8}" r="${RADIUS}" ${fill}/>` +
      `<text x="${px(x + 16)}" y="${row * 20 + 12}" fill="#222">${escapeXml(name)}</text>`;
    x += needed + 18;
    return item;
  });
  return { svg: items.join(""), height: (row + 1) * 20 };
}
