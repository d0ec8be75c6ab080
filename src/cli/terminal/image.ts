/**
 * Small images in the terminal: each character is an upper half block, whose foreground is one pixel and whose
 * background is the pixel below it. Needs 24-bit colour; elsewhere a line says where the picture is on disk.
 */

import type { LabelledImage } from "../../figures/image-grid.ts";
import { colorDepth, fitColumns, pad, paint } from "./output.ts";
import type { Output, Style } from "./output.ts";

/** Pixels along a side, from fine to coarse: all even, as a character holds two rows. */
const SIDES = [32, 24, 16] as const;
const COARSEST = 16;
const GAP = 2;
const DEFAULT_COLUMNS = 80;
const VERDICTS: Record<NonNullable<LabelledImage["verdict"]>, { style: Style; mark: string }> = {
  right: { style: "green", mark: "✓ " },
  wrong: { style: "red", mark: "✗ " },
};

export interface ShowImagesOptions {
  /** Where the same images are on disk. */
  path: string;
  /** Default `process.stderr`. */
  stream?: Output;
  /** Default `process.env`. */
  env?: NodeJS.ProcessEnv;
}

/**
 * Draws square images side by side, each with its label below, in the finest size of 32, 24 or 16 pixels that needs at
 * most two rows of images (else 16), and then names the file. Only names the file where it cannot draw.
 * @returns whether it drew
 */
export function showImages(images: readonly LabelledImage[], options: ShowImagesOptions): boolean {
  const { path, stream = process.stderr, env = process.env } = options;
  const columns = stream.columns ?? DEFAULT_COLUMNS;
  const draw = colorDepth(stream, env) >= 24 && columns > COARSEST;
  if (draw) stream.write(imageLines(images, columns).join("\n") + "\n");
  stream.write(`pictures: ${path}\n`);
  return draw;
}

/** The lines of text, at most `columns` wide, with their colours. */
export function imageLines(images: readonly LabelledImage[], columns: number): string[] {
  const perRow = (side: number) => Math.max(1, Math.floor((columns - 1 + GAP) / (side + GAP)));
  const side = SIDES.find((side) => side < columns && images.length <= 2 * perRow(side)) ?? COARSEST;
  const lines: string[] = [];
  // As many in each row as in the others, rather than a short last one.
  const inRow = Math.ceil(images.length / Math.ceil(images.length / perRow(side)));
  for (let start = 0; start < images.length; start += inRow) {
    const row = images.slice(start, start + inRow);
    const gap = " ".repeat(GAP);
    const pictures = row.map(({ pixels }) => halfBlocks(pixels, side));
    for (let y = 0; y < side / 2; y++) lines.push(pictures.map((picture) => picture[y]).join(gap));
    lines.push(
      row
        .map((image) => labelLine(image, side))
        .join(gap)
        .trimEnd(),
    );
    if (row.some(({ detail }) => detail !== undefined)) {
      const detail = row.map((image) => pad(fitColumns(image.detail ?? "", side), side, "centre"));
      lines.push(detail.join(gap).trimEnd());
    }
    lines.push("");
  }
  return lines;
}

function labelLine({ label, verdict }: LabelledImage, width: number): string {
  const { style, mark } = verdict === undefined ? { style: "bold" as const, mark: "" } : VERDICTS[verdict];
  return paint(pad(fitColumns(mark + label, width), width, "centre"), style, true);
}

/** `side / 2` lines of `side` characters. */
function halfBlocks(pixels: Uint8Array, side: number): string[] {
  const small = resample(pixels, side);
  const colour = (x: number, y: number) =>
    [0, 1, 2].map((channel) => small[(channel * side + y) * side + x] ?? 0).join(";");
  return Array.from({ length: side / 2 }, (_, line) => {
    let text = "";
    let last = "";
    for (let x = 0; x < side; x++) {
      const code = `\u001b[38;2;${colour(x, 2 * line)};48;2;${colour(x, 2 * line + 1)}m`;
      text += (code === last ? "" : code) + "▀";
      last = code;
    }
    return `${text}\u001b[0m`;
  });
}

/** [3, n, n] bytes to [3, side, side], each the mean of the area that it covers. */
function resample(pixels: Uint8Array, side: number): Uint8Array {
  const from = Math.sqrt(pixels.length / 3);
  if (from === side) return pixels;
  const weights = Array.from({ length: side }, (_, i) => overlaps((i * from) / side, ((i + 1) * from) / side));
  const result = new Uint8Array(3 * side * side);
  for (let channel = 0; channel < 3; channel++) {
    for (const [y, rows] of weights.entries()) {
      for (const [x, columns] of weights.entries()) {
        let sum = 0;
        for (const [row, height] of rows) {
          for (const [column, width] of columns) {
            sum += height * width * (pixels[(channel * from + row) * from + column] ?? 0);
          }
        }
        result[(channel * side + y) * side + x] = Math.round(sum / (from / side) ** 2);
      }
    }
  }
  return result;
}

/** The whole pixels that lie between two positions, each with the part of it that does. */
function overlaps(start: number, end: number): [pixel: number, part: number][] {
  const found: [number, number][] = [];
  for (let pixel = Math.floor(start); pixel < end; pixel++) {
    found.push([pixel, Math.min(end, pixel + 1) - Math.max(start, pixel)]);
  }
  return found;
}
