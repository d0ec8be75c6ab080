/**
 * Many things compared by a few measures, as SVG: a row for each thing, a column for each measure with a scale of its own, and
 * a dot where the thing stands, with a bar for its spread.
 */
import { scaleLinear, scaleLog } from "d3-scale";
import { ConfigError, ShapeError } from "../errors.ts";
import { colourOf } from "./colours.ts";
import { readableTicks } from "./log-ticks.ts";
import { escapeXml, fitText, FONT_FAMILY, px, textWidth } from "./svg.ts";

export interface DotValue {
  readonly value: number;
  /** Half of the length of the bar: a standard deviation. */
  readonly spread?: number;
  /** Where it was before: a small upright line. */
  readonly reference?: number;
}

export interface DotRow {
  readonly label: string;
  /** Rows of a group have a colour. */
  readonly group: string;
  /** One for each measure; undefined: there is none. */
  readonly values: readonly (DotValue | undefined)[];
}

export interface DotColumn {
  readonly title: string;
  /** Default: false. */
  readonly log?: boolean;
  /** Text of a tick. */
  readonly format: (value: number) => string;
}

export interface DotRowsOptions {
  readonly title: string;
  readonly subtitle?: string;
  /** Pixels. Default: 980. */
  readonly width?: number;
  readonly note?: string;
}

const ROW_HEIGHT = 22;
const GAP = 26;
const EDGE = 24;
const TEXT_SIZE = 12;
const TITLE_SIZE = 17;

/**
 * @returns the text of an SVG file
 * @throws ShapeError if a row has not as many values as there are columns; ConfigError if there is no row
 */
export function dotRowsSvg(
  rows: readonly DotRow[],
  columns: readonly DotColumn[],
  { title, subtitle, width = 980, note }: DotRowsOptions,
): string {
  if (rows.length === 0) throw new ConfigError({ where: `chart "${title}"`, what: "there is nothing to draw" });
  for (const { label, values } of rows) {
    if (values.length === columns.length) continue;
    const [got, expected] = [values.length, columns.length];
    throw new ShapeError({ where: `chart row "${label}"`, what: "not as many values as columns", got, expected });
  }
  const groups = [...new Set(rows.map(({ group }) => group))];
  const labelWidth = Math.min(240, Math.max(...rows.map(({ label }) => textWidth(label, TEXT_SIZE)))) + 12;
  const columnWidth = (width - 2 * EDGE - labelWidth - GAP * (columns.length - 1)) / columns.length;
  const headHeight = 16 + TITLE_SIZE + (subtitle === undefined ? 0 : TEXT_SIZE + 8) + (groups.length > 1 ? 26 : 6);
  const top = headHeight + 32;
  const bottom = top + rows.length * ROW_HEIGHT;
  const height = bottom + (note === undefined ? 34 : 56);
  const middle = (i: number) => top + (i + 0.5) * ROW_HEIGHT;
  const text = (x: number, y: number, content: string, more = `fill="#222"`) =>
    `<text x="${px(x)}" y="${px(y)}" ${more}>${escapeXml(content)}</text>`;

  const drawn = columns.map((column, c) => {
    const left = EDGE + labelWidth + c * (columnWidth + GAP);
    const values = rows.map((row) => row.values[c]);
    return columnSvg(column, values, { left, right: left + columnWidth, top, bottom, middle }, (i) =>
      colourOf(groups.indexOf(rows[i]!.group)),
    );
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"` +
      ` font-family="${FONT_FAMILY}" font-size="${TEXT_SIZE}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    text(EDGE, 16 + TITLE_SIZE - 3, fitText(title, width - 2 * EDGE, TITLE_SIZE, "bold"), titleStyle()),
    ...(subtitle === undefined
      ? []
      : [text(EDGE, 16 + TITLE_SIZE + TEXT_SIZE + 4, fitText(subtitle, width - 2 * EDGE, TEXT_SIZE), `fill="#555"`)]),
    ...(groups.length > 1 ? [groupLegend(groups, EDGE, headHeight - 8)] : []),
    ...rows.map((_, i) => (i % 2 === 1 ? "" : band(EDGE, middle(i), width - 2 * EDGE))),
    ...rows.map(({ label }, i) => text(EDGE + 4, middle(i) + 4, fitText(label, labelWidth - 8, TEXT_SIZE))),
    ...drawn,
    ...(note === undefined
      ? []
      : [text(EDGE, height - 12, fitText(note, width - 2 * EDGE, 11), `font-size="11" fill="#666"`)]),
    "</svg>",
  ].join("\n");
}

interface Place {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly middle: (row: number) => number;
}

function columnSvg(
  { title, log = false, format }: DotColumn,
  values: readonly (DotValue | undefined)[],
  { left, right, top, bottom, middle }: Place,
  colour: (row: number) => string,
): string {
  const head = `<text x="${px(left)}" y="${top - 20}" font-weight="bold" fill="#222">${escapeXml(title)}</text>`;
  const isShown = (value: number | undefined): value is number =>
    value !== undefined && Number.isFinite(value) && (!log || value > 0);
  const all = values.flatMap((one) =>
    one === undefined
      ? []
      : [one.value - (one.spread ?? 0), one.value + (one.spread ?? 0), one.reference].filter(isShown),
  );
  if (all.length === 0) return head;
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const pad = log ? (high / low) ** 0.06 : 0;
  const spare = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * 0.06;
  const scale = log
    ? scaleLog(low === high ? [low / 2, high * 2] : [low / pad, high * pad], [left, right])
    : scaleLinear([low - spare, high + spare], [left, right]);
  const ticks = spacedTicks(log ? readableTicks(scale.ticks(4)) : scale.ticks(3), scale, format, right);
  return [
    head,
    ...ticks.map(
      (tick) =>
        `<path d="M${px(scale(tick))} ${top - 3}V${bottom}" stroke="#ddd"/>` +
        `<text x="${px(scale(tick))}" y="${top - 6}" font-size="10" text-anchor="middle" fill="#777">${escapeXml(format(tick))}</text>`,
    ),
    ...values.map((one, i) => {
      if (one === undefined || !isShown(one.value)) return "";
      const { value, spread = 0, reference } = one;
      const [x, y] = [scale(value), middle(i)];
      const [from, to] = [scale(log ? Math.max(value - spread, low) : value - spread), scale(value + spread)];
      const bar =
        spread > 0 ? `<path d="M${px(from)} ${px(y)}H${px(to)}" stroke="${colour(i)}" stroke-width="2"/>` : "";
      const before = isShown(reference)
        ? `<path d="M${px(scale(reference))} ${px(y - 7)}v14" stroke="#888" stroke-width="2"/>`
        : "";
      return `${before}${bar}<circle cx="${px(x)}" cy="${px(y)}" r="4.5" fill="${colour(i)}"/>`;
    }),
  ].join("\n");
}

/** Of these ticks, the first and those whose texts do not run into each other or out of the column. */
function spacedTicks(
  ticks: readonly number[],
  scale: (value: number) => number,
  format: (value: number) => string,
  right: number,
): number[] {
  const kept: number[] = [];
  let end = -Infinity;
  for (const tick of ticks) {
    const half = textWidth(format(tick), 10) / 2;
    if (scale(tick) - half < end + 6 || scale(tick) + half > right + GAP / 2) continue;
    kept.push(tick);
    end = scale(tick) + half;
  }
  return kept;
}

function groupLegend(groups: readonly string[], left: number, y: number): string {
  let x = left + 6;
  return groups
    .map((group, i) => {
      const item =
        `<circle cx="${px(x)}" cy="${px(y - 4)}" r="4.5" fill="${colourOf(i)}"/>` +
        `<text x="${px(x + 10)}" y="${px(y)}" fill="#222">${escapeXml(group)}</text>`;
      x += textWidth(group, TEXT_SIZE) + 34;
      return item;
    })
    .join("");
}

function band(x: number, middle: number, width: number): string {
  return `<rect x="${px(x)}" y="${px(middle - ROW_HEIGHT / 2)}" width="${px(width)}" height="${ROW_HEIGHT}" fill="#f6f6f6"/>`;
}

function titleStyle(): string {
  return `font-size="${TITLE_SIZE}" font-weight="bold" fill="#111"`;
}
