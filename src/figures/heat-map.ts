/**
 * A matrix of numbers as coloured cells, as SVG: row 1 at the top, column 1 at the left, with a colour bar above. Cells may carry their
 * numbers, whole columns or single cells may be outlined, and a cell may stand for several rows and columns of a larger matrix.
 */
import { scaleLinear } from "d3-scale";
import { ConfigError, ShapeError } from "../errors.ts";
import { colourAt, hex, MISSING, type Rgb, textColourOn } from "./colour-map.ts";
import { frame } from "./frame.ts";
import { indexedPngDataUri } from "./png.ts";
import { escapeXml, fitText, px, textWidth } from "./svg.ts";

export interface HeatMapAxis {
  readonly label: string;
  /** One for each row or column, in place of numbers. */
  readonly names?: readonly string[];
  /** Number of the first. Default: 1. */
  readonly first?: number;
  /** Rows or columns of the whole matrix that a cell stands for; need not be whole. Default: 1. */
  readonly step?: number;
}

export interface HeatMapOptions {
  readonly title: string;
  readonly subtitle?: string;
  readonly note?: string;
  /** Pixels. Default: 460. The height follows from the cells. */
  readonly width?: number;
  readonly rows: HeatMapAxis;
  readonly columns: HeatMapAxis;
  /** What the numbers are, with their unit; beside the colour bar. */
  readonly valueLabel: string;
  /** Numbers of the darkest and of the lightest colour. Default: 0 and 1. `"auto"`: those of the data. */
  readonly range?: readonly [low: number, high: number] | "auto";
  /** Text of a number. Default: at most two decimals. */
  readonly format?: (value: number) => string;
  /** Whether cells carry their numbers, where they have room. Default: false. */
  readonly numbers?: boolean;
  /** Columns with a red line around them, from 0. */
  readonly outlinedColumns?: readonly number[];
  /** Cells with a red line around them: [row, column], from 0. */
  readonly outlinedCells?: readonly (readonly [row: number, column: number])[];
  /** What is outlined: stands beside the colour bar. */
  readonly outlineLabel?: string;
  /** Leaves a gap below this row, from 0. */
  readonly gapBelow?: number;
}

const TEXT_SIZE = 12;
const TICK_SIZE = 11;
const OUTLINE = "#ff3b1d";
const BAR = { width: 150, height: 10 };
/** More cells than this are drawn as one image, a fiftieth of the bytes; fewer tell their numbers when they are pointed at. */
const MAX_RECTANGLES = 400;
/** Colours of an image: steps that nobody sees. */
const LEVELS = 128;
const IMAGE_COLOURS = [...Array.from({ length: LEVELS }, (_, i) => colourAt(i / (LEVELS - 1))), MISSING];
const MAX_CELL = 64;
const MAX_NAMED_HEIGHT = 34;
const MIN_CELL_HEIGHT = 16;
const GAP = 8;

/** Where the cells are. */
interface Grid {
  readonly left: number;
  readonly top: number;
  readonly cellWidth: number;
  readonly cellHeight: number;
  readonly rows: number;
  readonly columns: number;
  readonly rowTop: (row: number) => number;
}

/**
 * @param values row by row; null or NaN: no number
 * @returns the text of an SVG file
 * @throws ConfigError if there is no cell; ShapeError if rows differ in length, or there are not as many names as rows or columns
 */
export function heatMapSvg(values: readonly (readonly (number | null)[])[], options: HeatMapOptions): string {
  const { width = 460, valueLabel, gapBelow, outlineLabel, rows: rowAxis, columns: columnAxis } = options;
  const where = `heat map "${options.title}"`;
  const [rows, columns] = [values.length, values[0]?.length ?? 0];
  if (columns === 0) throw new ConfigError({ where, what: "there is no cell to draw" });
  const uneven = values.find((row) => row.length !== columns);
  if (uneven !== undefined) {
    throw new ShapeError({ where, what: "rows differ in length", got: uneven.length, expected: columns });
  }
  for (const [names, expected] of [
    [rowAxis.names, rows],
    [columnAxis.names, columns],
  ] as const) {
    if (names === undefined || names.length === expected) continue;
    throw new ShapeError({ where, what: "not as many names as rows or columns", got: names.length, expected });
  }

  const [low, high] = rangeOf(values, options.range ?? [0, 1]);
  const format = options.format ?? ((value) => String(Math.round(value * 100) / 100));
  const partOf = (value: number) => (value - low) / (high - low);
  const colourOfValue = (value: number | null): Rgb => (value === null ? MISSING : colourAt(partOf(value)));

  const around = frame({ ...options, width, left: 12 });
  const rowTexts = rowAxis.names ?? [tickText(lastOf(rowAxis, rows))];
  const labelWidth = Math.min(width * 0.3, Math.max(...rowTexts.map((text) => textWidth(text, TICK_SIZE))));
  const left = Math.ceil(12 + labelWidth + 10);
  const room = width - left - 16;
  const cellWidth = Math.min(room / columns, MAX_CELL);
  const tallest = rowAxis.names === undefined ? MAX_CELL : MAX_NAMED_HEIGHT;
  const cellHeight = Math.min(
    Math.max(cellWidth, MIN_CELL_HEIGHT),
    tallest,
    Math.max(room / rows, rowAxis.names === undefined ? 0 : TICK_SIZE + 4),
  );
  const legend = legendSvg({ valueLabel, low, high, format, width: width - 24, outlineLabel });
  const top = around.top + 6 + legend.height + 28;
  const gap = gapBelow === undefined ? 0 : GAP;
  const rowTop = (row: number) => top + row * cellHeight + (gapBelow !== undefined && row > gapBelow ? gap : 0);
  const grid: Grid = { left, top, cellWidth, cellHeight, rows, columns, rowTop };
  const bottom = top + rows * cellHeight + gap;

  const columnTicks = columnTicksSvg(columnAxis, grid, bottom);
  const cells =
    rows * columns > MAX_RECTANGLES && gap === 0
      ? imageOfCells(values, partOf, grid)
      : cellsSvg(values, colourOfValue, grid, { ...options, format });
  const outlines = [
    ...(options.outlinedColumns ?? []).map((column) => outline(grid, 0, column, bottom - top)),
    ...(options.outlinedCells ?? []).map(([row, column]) => outline(grid, row, column, cellHeight)),
  ];
  const right = left + columns * cellWidth;
  const axisEnd = bottom + columnTicks.height + 20;
  return around.close(
    [
      `<g transform="translate(12 ${px(around.top + 6)})">${legend.svg}</g>`,
      `<text x="12" y="${px(top - 9)}" fill="#222">↓ ${escapeXml(fitText(rowAxis.label, width - 30, TEXT_SIZE))}</text>`,
      cells,
      ...outlines,
      rowTicksSvg(rowAxis, grid, labelWidth),
      columnTicks.svg,
      columnLabel(columnAxis.label, { left, right, y: axisEnd - 4, width }),
    ],
    axisEnd + around.foot + 2,
  );
}

/** It ends where the cells end, or begins at the left edge where it is longer than they are wide. */
function columnLabel(label: string, place: { left: number; right: number; y: number; width: number }): string {
  const shown = `${fitText(label, place.width - 42, TEXT_SIZE)} →`;
  const needed = textWidth(shown, TEXT_SIZE);
  const end = Math.min(place.width - 12, Math.max(place.right, 12 + needed));
  return `<text x="${px(end)}" y="${px(place.y)}" text-anchor="end" fill="#222">${escapeXml(shown)}</text>`;
}

function rangeOf(
  values: readonly (readonly (number | null)[])[],
  range: readonly [number, number] | "auto",
): readonly [number, number] {
  if (range !== "auto") return range;
  let [low, high] = [Infinity, -Infinity];
  for (const value of values.flat()) {
    if (value === null || Number.isNaN(value)) continue;
    [low, high] = [Math.min(low, value), Math.max(high, value)];
  }
  if (low > high) return [0, 1];
  return low === high ? [Math.min(0, low), Math.max(1, high)] : [low, high];
}

function lastOf({ first = 1, step = 1 }: HeatMapAxis, count: number): number {
  return Math.round(first + count * step - 1);
}

function tickText(value: number): string {
  return value.toLocaleString("en-US");
}

/** Numbers at which ticks stand: the first one, and round ones where they have room. */
function tickValues(axis: HeatMapAxis, count: number, pixels: number, apart: number): { value: number; at: number }[] {
  const { first = 1, step = 1 } = axis;
  const last = lastOf(axis, count);
  const place = (value: number) => ((value - first + 0.5) / (count * step)) * pixels;
  const round =
    pixels / (last - first + 1) >= apart
      ? Array.from({ length: last - first + 1 }, (_, i) => first + i)
      : scaleLinear([first, last], [0, 1])
          .ticks(Math.max(1, Math.floor(pixels / apart / 1.5)))
          .filter((value) => Number.isInteger(value));
  const isClear = (value: number) => value > first && place(value) - place(first) >= apart * 0.9;
  return [first, ...round.filter(isClear)].map((value) => ({ value, at: place(value) }));
}

function rowTicksSvg(axis: HeatMapAxis, grid: Grid, labelWidth: number): string {
  const { left, cellHeight, rows, rowTop } = grid;
  const text = (y: number, content: string) =>
    `<text x="${px(left - 6)}" y="${px(y + 4)}" font-size="${TICK_SIZE}" text-anchor="end" fill="#444">${escapeXml(content)}</text>`;
  if (axis.names !== undefined) {
    return axis.names
      .map((name, row) => text(rowTop(row) + cellHeight / 2, fitText(name, labelWidth + 2, TICK_SIZE)))
      .join("\n");
  }
  return tickValues(axis, rows, rows * cellHeight, TICK_SIZE + 3)
    .map(({ value, at }) => text(grid.top + at, tickText(value)))
    .join("\n");
}

function columnTicksSvg(axis: HeatMapAxis, grid: Grid, bottom: number): { svg: string; height: number } {
  const { left, cellWidth, columns } = grid;
  const text = (x: number, content: string, more = `text-anchor="middle"`) =>
    `<text x="${px(x)}" y="${px(bottom + 15)}" font-size="${TICK_SIZE}" ${more} fill="#444">${escapeXml(content)}</text>`;
  const middle = (column: number) => left + (column + 0.5) * cellWidth;
  if (axis.names === undefined) {
    const apart = textWidth(tickText(lastOf(axis, columns)), TICK_SIZE) + 6;
    const shown = tickValues(axis, columns, columns * cellWidth, apart);
    return { svg: shown.map(({ value, at }) => text(left + at, tickText(value))).join("\n"), height: 20 };
  }
  const widest = Math.max(...axis.names.map((name) => textWidth(name, TICK_SIZE)));
  if (widest <= cellWidth - 4) {
    return { svg: axis.names.map((name, column) => text(middle(column), name)).join("\n"), height: 20 };
  }
  // Upright names need no more than a line's width each.
  const length = Math.min(110, widest);
  const every = Math.max(1, Math.ceil((TICK_SIZE + 3) / cellWidth));
  const upright = axis.names.flatMap((name, column) => {
    if (column % every !== 0) return [];
    const [x, y] = [px(middle(column) + 4), px(bottom + 8)];
    const shown = escapeXml(fitText(name, length, TICK_SIZE));
    return `<text transform="translate(${x} ${y}) rotate(-90)" font-size="${TICK_SIZE}" text-anchor="end" fill="#444">${shown}</text>`;
  });
  return { svg: upright.join("\n"), height: length + 12 };
}

function cellsSvg(
  values: readonly (readonly (number | null)[])[],
  colour: (value: number | null) => Rgb,
  grid: Grid,
  options: HeatMapOptions & { readonly format: (value: number) => string },
): string {
  const { format, rows, columns } = options;
  const { left, cellWidth, cellHeight, rowTop } = grid;
  const hasTooltips = grid.rows * grid.columns <= MAX_RECTANGLES;
  const textOf = (value: number | null) => (value === null || Number.isNaN(value) ? "–" : format(value));
  const size = options.numbers === true ? numberSize(values.flat().map(textOf), grid) : undefined;
  const nameOf = ({ names, first = 1, step = 1 }: HeatMapAxis, i: number) =>
    names?.[i] ?? (step === 1 ? tickText(first + i) : `from ${tickText(Math.round(first + i * step))}`);
  const rectangles = values.flatMap((row, i) =>
    row.map((value, j) => {
      const [x, y] = [left + j * cellWidth, rowTop(i)];
      const place = `x="${px(x)}" y="${px(y)}" width="${px(cellWidth)}" height="${px(cellHeight)}" fill="${hex(colour(value))}"`;
      if (!hasTooltips) return `<rect ${place}/>`;
      const said = `${nameOf(rows, i)}, ${nameOf(columns, j)}: ${textOf(value)}`;
      return `<rect ${place}><title>${escapeXml(said)}</title></rect>`;
    }),
  );
  const numbers =
    size === undefined
      ? []
      : values.flatMap((row, i) =>
          row.map((value, j) => {
            if (value === null || Number.isNaN(value)) return "";
            const [x, y] = [left + (j + 0.5) * cellWidth, rowTop(i) + cellHeight / 2 + size * 0.36];
            const fill = textColourOn(colour(value));
            return `<text x="${px(x)}" y="${px(y)}" fill="${fill}">${escapeXml(textOf(value))}</text>`;
          }),
        );
  return [
    `<g shape-rendering="crispEdges">`,
    ...rectangles,
    "</g>",
    ...(size === undefined
      ? []
      : [`<g font-size="${size}" text-anchor="middle" pointer-events="none">`, ...numbers, "</g>"]),
  ].join("\n");
}

/** Font size at which all numbers have room; undefined: there is no readable one. */
function numberSize(texts: readonly string[], { cellWidth, cellHeight }: Grid): number | undefined {
  const widest = Math.max(...texts.map((text) => textWidth(text, 1)));
  const size = Math.floor(Math.min(12, (cellWidth - 3) / widest, cellHeight - 4) * 2) / 2;
  return size >= 7.5 ? size : undefined;
}

function imageOfCells(
  values: readonly (readonly (number | null)[])[],
  part: (value: number) => number,
  { left, top, cellWidth, cellHeight, rows, columns }: Grid,
): string {
  const indices = new Uint8Array(rows * columns);
  for (const [i, row] of values.entries()) {
    for (const [j, value] of row.entries()) {
      const isMissing = value === null || Number.isNaN(value);
      indices[i * columns + j] = isMissing ? LEVELS : Math.round(Math.min(1, Math.max(0, part(value))) * (LEVELS - 1));
    }
  }
  const factor = Math.max(1, Math.round(200 / Math.max(rows, columns)));
  return (
    `<image x="${px(left)}" y="${px(top)}" width="${px(columns * cellWidth)}" height="${px(rows * cellHeight)}"` +
    ` preserveAspectRatio="none" style="image-rendering:pixelated" image-rendering="optimizeSpeed"` +
    ` href="${indexedPngDataUri(indices, columns, rows, { palette: IMAGE_COLOURS, factor })}"/>`
  );
}

/** Red on white, so that it is seen on any colour. */
function outline({ left, cellWidth, rowTop }: Grid, row: number, column: number, height: number): string {
  const at = `x="${px(left + column * cellWidth)}" y="${px(rowTop(row))}" width="${px(cellWidth)}" height="${px(height)}"`;
  return (
    `<rect ${at} fill="none" stroke="#fff" stroke-width="4.5" pointer-events="none"/>` +
    `<rect ${at} fill="none" stroke="${OUTLINE}" stroke-width="2.5" class="outline" pointer-events="none"/>`
  );
}

interface LegendOptions {
  readonly valueLabel: string;
  readonly low: number;
  readonly high: number;
  readonly format: (value: number) => string;
  readonly width: number;
  readonly outlineLabel: string | undefined;
}

/** Name, colour bar with its ends and middle, and what is outlined; that in a line of its own if the first is full. */
function legendSvg({ valueLabel, low, high, format, width, outlineLabel }: LegendOptions): {
  svg: string;
  height: number;
} {
  const label = fitText(valueLabel, width - BAR.width - 40, TEXT_SIZE);
  const start = textWidth(label, TEXT_SIZE) + 12;
  const steps = 30;
  const stripes = Array.from({ length: steps }, (_, i) => {
    const x = start + (i * BAR.width) / steps;
    return `<rect x="${px(x)}" y="2" width="${px(BAR.width / steps)}" height="${BAR.height}" fill="${hex(colourAt(i / (steps - 1)))}"/>`;
  });
  const marks = [0, 0.5, 1].map((part) => {
    const text = format(low + part * (high - low));
    const x = start + part * BAR.width;
    return `<text x="${px(x)}" y="${BAR.height + 14}" font-size="10" text-anchor="middle" fill="#444">${escapeXml(text)}</text>`;
  });
  const parts = [
    `<text x="0" y="11" fill="#222">${escapeXml(label)}</text>`,
    `<g shape-rendering="crispEdges" class="colour-bar">${stripes.join("")}</g>`,
    ...marks,
  ];
  let height = 28;
  if (outlineLabel !== undefined) {
    const beside = start + BAR.width + 26;
    const isBeside = beside + 20 + textWidth(outlineLabel, TEXT_SIZE) <= width;
    const [x, y] = isBeside ? [beside, 0] : [0, height];
    parts.push(
      `<rect x="${px(x + 1)}" y="${y + 1}" width="11" height="12" fill="none" stroke="${OUTLINE}" stroke-width="2.5"/>` +
        `<text x="${px(x + 20)}" y="${y + 12}" fill="#222">${escapeXml(fitText(outlineLabel, width - 20, TEXT_SIZE))}</text>`,
    );
    if (!isBeside) height += 20;
  }
  return { svg: parts.join("\n"), height };
}
