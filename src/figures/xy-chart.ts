/**
 * Points in a plane, as SVG: each with a label beside it, or those of a series joined by lines; scales may be logarithmic.
 */
import { scaleLinear, scaleLog } from "d3-scale";
import { ConfigError } from "../errors.ts";
import { colourOf } from "./colours.ts";
import { frame } from "./frame.ts";
import { readableTicks } from "./log-ticks.ts";
import { escapeXml, fitText, px, textWidth } from "./svg.ts";

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
  /** Whether the points of a line are drawn. Default: if there are at most 60. */
  readonly dots?: boolean;
  /** Default: false. */
  readonly dashed?: boolean;
  /** Default: the next one of the colours of charts. */
  readonly colour?: string;
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
  /** The axis reaches up to here. */
  readonly to?: number;
  /** Ticks stand at whole numbers only. Default: false. */
  readonly integer?: boolean;
  /** The smallest value is at the top, or at the right. Default: false. */
  readonly reversed?: boolean;
}

export interface Level {
  readonly y: number;
  /** Stands in the legend. */
  readonly label?: string;
}

export interface Upright {
  readonly x: number;
  /** Stands in the legend. */
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
  /** Upright lines. */
  readonly uprights?: readonly Upright[];
  /** Where labels of points stand if there is room. Default: "beside". */
  readonly labels?: "beside" | "above";
}

/** Dashes of levels, in their order. */
const LEVEL_DASHES = ["6 4", "2 3", "10 3 2 3"];
const UPRIGHT_STYLE = `stroke="#999" stroke-width="1.5" stroke-dasharray="1 3"`;

const MARGIN = { left: 70, right: 28, bottom: 44 };
/** Where title, legend and the name of the vertical axis begin. */
const TEXT_LEFT = 12;
const TEXT_SIZE = 12;
const LABEL_SIZE = 11;
const RADIUS = 4.5;
const MAX_DOTS_OF_LINES = 60;
const MAX_CIRCLES = 200;

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
  const { title, width = 860, height = 520 } = options;
  const isDrawn = ({ x, y }: Point) => isOn(x, options.x) && isOn(y, options.y);
  const drawn = series.map((one, i) => ({
    ...one,
    colour: one.colour ?? colourOf(i),
    points: one.points.filter(isDrawn),
  }));
  if (drawn.every(({ points }) => points.length === 0)) {
    throw new ConfigError({ where: `chart "${title}"`, what: "there is no point to draw" });
  }
  const around = frame({ ...options, width, left: TEXT_LEFT });
  const levels = (options.levels ?? []).filter((level) => isOn(level.y, options.y));
  const uprights = (options.uprights ?? []).filter((one) => isOn(one.x, options.x));
  const legend = legendSvg(drawn, levels, uprights, width - TEXT_LEFT - MARGIN.right / 2);
  const legendTop = around.top + 11;
  const top = legendTop + legend.height + TEXT_SIZE + 16;
  const bottom = height - MARGIN.bottom - around.foot;
  const area: Box = { left: MARGIN.left, right: width - MARGIN.right, top, bottom };
  const points = drawn.flatMap((one) => one.points);
  const x = scaleOf(options.x, [...reach(points, "x"), ...uprights.map((one) => one.x)], [area.left, area.right]);
  const y = scaleOf(options.y, [...reach(points, "y"), ...levels.map((level) => level.y)], [area.bottom, area.top]);
  return around.close(
    [
      `<g transform="translate(${TEXT_LEFT} ${px(legendTop)})">${legend.svg}</g>`,
      axesSvg(x, y, options, area),
      ...levels.map((level, i) => levelSvg(i, y(level.y), area)),
      ...uprights.map((one) => `<path d="M${px(x(one.x))} ${px(top)}V${px(bottom)}" ${UPRIGHT_STYLE}/>`),
      ...drawn.map((one) => seriesSvg(one, x, y)),
      ...labelsSvg(drawn, x, y, area, options.labels),
    ],
    height,
  );
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

function scaleOf(axis: Axis, values: readonly number[], [start, end]: [number, number]): Scale {
  const { log = false, from, to, ticks = [], reversed = false } = axis;
  const range: [number, number] = reversed ? [end, start] : [start, end];
  const given = [from, to].filter((value) => value !== undefined);
  let [low, high] = [Infinity, -Infinity];
  for (const value of [...values, ...ticks, ...given]) {
    if (!log || value > 0) [low, high] = [Math.min(low, value), Math.max(high, value)];
  }
  if (log) {
    const pad = low === high ? 2 : (high / low) ** 0.05;
    return scaleLog([low / pad, high * pad], range);
  }
  const pad = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * 0.06;
  // A given end is meant: nothing lies beyond it.
  return scaleLinear([from === undefined ? low - pad : low, to === undefined ? high + pad : high], range);
}

function axesSvg(x: Scale, y: Scale, options: XyChartOptions, { left, right, top, bottom }: Box): string {
  const xCount = Math.max(3, Math.min(7, Math.round((right - left) / 70)));
  const yCount = Math.max(3, Math.min(7, Math.round((bottom - top) / 40)));
  const xTicks = ticksOf(x, options.x, xCount);
  const yTicks = ticksOf(y, options.y, yCount);
  const xFormat = options.x.format ?? formatOf(x, options.x, xCount);
  const yFormat = options.y.format ?? formatOf(y, options.y, yCount);
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
    `<text x="${TEXT_LEFT}" y="${px(top - 14)}" fill="#222">↑ ${escapeXml(fitText(options.y.label, right - TEXT_LEFT - 16, TEXT_SIZE))}</text>`,
    `<text x="${right}" y="${bottom + 38}" text-anchor="end" fill="#222">${escapeXml(fitText(options.x.label, right - TEXT_LEFT - 16, TEXT_SIZE))} →</text>`,
  ].join("\n");
}

function ticksOf(scale: Scale, { ticks, log = false, integer = false }: Axis, count: number): readonly number[] {
  if (ticks !== undefined) return ticks;
  const all = log ? readableTicks(scale.ticks(count)) : scale.ticks(count);
  return integer ? all.filter((tick) => Number.isInteger(tick)) : all;
}

function formatOf(scale: Scale, { log = false, integer = false }: Axis, count: number): (value: number) => string {
  if (log) return plain;
  return integer ? (value) => value.toLocaleString("en-US") : scale.tickFormat(count);
}

function plain(value: number): string {
  if (value < 1e-4 || value >= 1e7) return value.toExponential(0).replace("e+", "e").replace("-", "−");
  return Number(value.toPrecision(3)).toLocaleString("en-US", { maximumSignificantDigits: 3 });
}

function levelSvg(index: number, at: number, { left, right }: Box): string {
  return `<path d="M${left} ${px(at)}H${right}" stroke="#777" stroke-width="1.5" stroke-dasharray="${dashOfLevel(index)}"/>`;
}

function dashOfLevel(index: number): string {
  return LEVEL_DASHES[index % LEVEL_DASHES.length]!;
}

type Drawn = PointSeries & { readonly colour: string };

function seriesSvg({ points, joined = false, hollow = false, ...series }: Drawn, x: Scale, y: Scale): string {
  const { colour, dashed = false, dots = !joined || points.length <= MAX_DOTS_OF_LINES } = series;
  const line = points.map((point, i) => `${i === 0 ? "M" : "L"}${px(x(point.x))} ${px(y(point.y))}`).join("");
  const bars = points.flatMap((point) => {
    const { xSpread = 0, ySpread = 0 } = point;
    const [at, up] = [px(x(point.x)), px(y(point.y))];
    return [
      ...(xSpread > 0 ? [`M${px(x(point.x - xSpread))} ${up}H${px(x(point.x + xSpread))}`] : []),
      ...(ySpread > 0 ? [`M${at} ${px(y(point.y - ySpread))}V${px(y(point.y + ySpread))}`] : []),
    ];
  });
  const dash = dashed ? ` stroke-dasharray="7 4"` : "";
  return [
    joined ? `<path d="${line}" stroke="${colour}" stroke-width="2" fill="none" stroke-linejoin="round"${dash}/>` : "",
    bars.length === 0 ? "" : `<path d="${bars.join("")}" stroke="${colour}" stroke-width="1.5" stroke-opacity="0.6"/>`,
    ...(dots ? [dotsSvg(points, hollow, colour, x, y)] : []),
  ].join("");
}

/** Circles; of very many points, smaller dots in one path: lines of no length with round ends, a few bytes a point. */
function dotsSvg(points: readonly Point[], hollow: boolean, colour: string, x: Scale, y: Scale): string {
  if (points.length > MAX_CIRCLES) {
    const dots = points.map((point) => `M${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}h0`).join("");
    return `<path d="${dots}" stroke="${colour}" stroke-width="4" stroke-linecap="round" stroke-opacity="0.55" fill="none"/>`;
  }
  const fill = hollow ? `fill="#fff" stroke="${colour}" stroke-width="2"` : `fill="${colour}"`;
  const circle = (point: Point) => `<circle cx="${px(x(point.x))}" cy="${px(y(point.y))}" r="${RADIUS}" ${fill}/>`;
  return points.map(circle).join("");
}

/** Where a label may stand, from near to far: beside its point, then around it, with a thin line to it. */
const DISTANCES = [9, 20, 34, 50, 68, 90, 115, 145];
const ANGLES = [0, 180, -35, 35, -145, 145, -90, 90, -15, 15, -165, 165, -60, 60, -120, 120];

function labelsSvg(
  series: readonly Drawn[],
  x: Scale,
  y: Scale,
  area: Box,
  prefer: "beside" | "above" = "beside",
): string[] {
  if (series.every(({ points }) => points.every(({ label }) => label === undefined))) return [];
  const taken: Box[] = series.flatMap(({ points }) =>
    points.flatMap((point) => {
      const { xSpread = 0, ySpread = 0 } = point;
      const bar = { left: x(point.x - xSpread), right: x(point.x + xSpread), top: y(point.y), bottom: y(point.y) };
      const upright = { left: x(point.x), right: x(point.x), top: y(point.y + ySpread), bottom: y(point.y - ySpread) };
      return [around(x(point.x), y(point.y)), bar, upright];
    }),
  );
  return series.flatMap(({ points, colour }) =>
    points.flatMap((point) => {
      if (point.label === undefined) return [];
      const at = { x: x(point.x), y: y(point.y) };
      const place = freePlace(at, textWidth(point.label, LABEL_SIZE), taken, area, prefer);
      if (place === undefined) return [];
      taken.push(place.box);
      const { box, distance } = place;
      const nearest = { x: clamp(at.x, box.left, box.right), y: clamp(at.y, box.top, box.bottom) };
      const leader =
        distance <= DISTANCES[0]!
          ? ""
          : `<path d="M${px(at.x)} ${px(at.y)}L${px(nearest.x)} ${px(nearest.y)}" stroke="#bbb" stroke-width="1"/>`;
      return [
        `${leader}<text x="${px(box.left)}" y="${px(box.bottom - 3)}" font-size="${LABEL_SIZE}" fill="${colour}"` +
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
  prefer: "beside" | "above",
): { box: Box; distance: number } | undefined {
  const height = LABEL_SIZE + 3;
  for (const distance of DISTANCES) {
    for (const angle of prefer === "above" ? [-90, 90, ...ANGLES] : ANGLES) {
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

/** Series, where there are several, and levels that have labels; above the area of the points, so that it covers none. */
function legendSvg(
  series: readonly Drawn[],
  levels: readonly Level[],
  uprights: readonly Upright[],
  width: number,
): { svg: string; height: number } {
  const items = [
    ...(series.length < 2
      ? []
      : series.map((one) => ({ name: one.name, symbol: (x: number, y: number) => symbolOf(one, x, y) }))),
    ...levels.flatMap(({ label }, i) =>
      label === undefined
        ? []
        : [
            {
              name: label,
              symbol: (x: number, y: number) =>
                `<path d="M${px(x)} ${y}h18" stroke="#777" stroke-width="1.5" stroke-dasharray="${dashOfLevel(i)}"/>`,
            },
          ],
    ),
  ];
  for (const { label } of uprights) {
    if (label === undefined) continue;
    items.push({ name: label, symbol: (x, y) => `<path d="M${px(x + 9)} ${y - 7}v14" ${UPRIGHT_STYLE}/>` });
  }
  if (items.length === 0) return { svg: "", height: 0 };
  const indent = 24;
  let [x, row] = [0, 0];
  const svg = items.map(({ name, symbol }) => {
    const shown = fitText(name, width - indent, TEXT_SIZE);
    const needed = indent + textWidth(shown, TEXT_SIZE);
    if (x > 0 && x + needed > width) [x, row] = [0, row + 1];
    const item =
      symbol(x, row * 20 + 8) +
      `<text x="${px(x + indent)}" y="${row * 20 + 12}" fill="#222">${escapeXml(shown)}</text>`;
    x += needed + 18;
    return item;
  });
  return { svg: svg.join(""), height: (row + 1) * 20 };
}

function symbolOf(
  { joined = false, hollow = false, dashed = false, points, ...one }: Drawn,
  x: number,
  y: number,
): string {
  const { colour, dots = !joined || points.length <= MAX_DOTS_OF_LINES } = one;
  const dash = dashed ? ` stroke-dasharray="7 4"` : "";
  const line = joined ? `<path d="M${px(x)} ${y}h18" stroke="${colour}" stroke-width="2"${dash}/>` : "";
  const fill = hollow ? `fill="#fff" stroke="${colour}" stroke-width="2"` : `fill="${colour}"`;
  return line + (dots ? `<circle cx="${px(x + 9)}" cy="${y}" r="${RADIUS}" ${fill}/>` : "");
}
