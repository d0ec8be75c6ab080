/** A grid of small images with a title and a label below each, as a picture. */

import { ConfigError, ShapeError } from "../errors.ts";
import { pngDataUri, svgToPng } from "./png.ts";
import { FONT_FAMILY, escapeXml, fitText, px, textWidth } from "./svg.ts";

export interface LabelledImage {
  /** [3, side, side] bytes: the planes of red, green and blue. */
  readonly pixels: Uint8Array;
  /** Below the image: the class, or what the model says. */
  readonly label: string;
  /** A second, fainter line, such as what the model should have said. */
  readonly detail?: string;
  /** Green frame and a tick, or red frame and a cross. Default: neither. */
  readonly verdict?: "right" | "wrong";
}

export interface ImageGridOptions {
  title?: string;
  subtitle?: string;
  /** Images in a row. Default: all up to 5, then 4 up to 8 images, then 8. */
  columns?: number;
  /** Pixels along one side of an image. Default 32. */
  side?: number;
  /** How much larger each pixel is drawn; the PNG doubles it once more. A whole number, default 3. */
  scale?: number;
}

const MARGIN = 20;
const GAP = 14;
const TITLE_SIZE = 17;
const SUBTITLE_SIZE = 12;
const LABEL_SIZE = 13;
const DETAIL_SIZE = 11;
const FRAME = 3;
/** Pixels of the PNG for one of the layout. */
const PNG_SCALE = 2;
const VERDICTS = {
  right: { colour: "#15803d", mark: "✓ " },
  wrong: { colour: "#c62828", mark: "✗ " },
} as const;

/**
 * The picture as a PNG file. Pixels stay sharp squares; a label that is wider than 1.6 images is shortened.
 * @returns the bytes of the file
 * @throws ConfigError when there is no image, or a size is not a whole number above 0
 * @throws ShapeError when an image does not have 3·side·side bytes
 */
export function imageGridPng(images: readonly LabelledImage[], options: ImageGridOptions = {}): Uint8Array {
  return svgToPng(imageGridSvg(images, options), PNG_SCALE);
}

/** The same picture as SVG that needs no other file. Throws as {@link imageGridPng} does. */
export function imageGridSvg(images: readonly LabelledImage[], options: ImageGridOptions = {}): string {
  const { title, subtitle, side = 32, scale = 3, columns = defaultColumns(images.length) } = options;
  if (images.length === 0) throw new ConfigError({ where: "image grid", what: "there is no image to show" });
  for (const [name, value] of Object.entries({ side, scale, columns })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new ConfigError({ where: `image grid ${name}`, what: "bad size", got: value, expected: "1, 2, 3, …" });
    }
  }
  for (const [i, { pixels }] of images.entries()) {
    if (pixels.length !== 3 * side * side) {
      throw new ShapeError({
        where: `image grid, image ${i}`,
        what: "wrong number of bytes",
        got: pixels.length,
        expected: `3 × ${side} × ${side} = ${3 * side * side}`,
      });
    }
  }

  const shown = side * scale;
  const enlarged = scale * PNG_SCALE;
  const widest = Math.max(...images.map(labelWidth));
  const cell = Math.ceil(Math.max(shown, Math.min(widest, 1.6 * shown)));
  const hasDetail = images.some(({ detail }) => detail !== undefined);
  const captionHeight = LABEL_SIZE + 7 + (hasDetail ? DETAIL_SIZE + 5 : 0);
  const rows = Math.ceil(images.length / columns);
  const used = Math.min(columns, images.length);
  const gridWidth = used * cell + (used - 1) * GAP;
  const headWidth = Math.max(textWidth(title ?? "", TITLE_SIZE, "bold"), textWidth(subtitle ?? "", SUBTITLE_SIZE));
  const width = Math.ceil(Math.max(gridWidth, headWidth)) + 2 * MARGIN;
  const parts: string[] = [];
  let y = MARGIN;
  if (title !== undefined) {
    y += TITLE_SIZE;
    parts.push(text(MARGIN, y, title, { size: TITLE_SIZE, colour: "#111", weight: "bold" }));
  }
  if (subtitle !== undefined) {
    y += SUBTITLE_SIZE + (title === undefined ? 0 : 9);
    parts.push(text(MARGIN, y, subtitle, { size: SUBTITLE_SIZE, colour: "#555" }));
  }
  if (parts.length > 0) y += 16;
  const height = y + rows * (shown + captionHeight) + (rows - 1) * GAP + MARGIN;
  for (const [i, image] of images.entries()) {
    const centre = MARGIN + (i % columns) * (cell + GAP) + cell / 2;
    const top = y + Math.floor(i / columns) * (shown + captionHeight + GAP);
    parts.push(cellSvg(image, { centre, top, shown, cell, side, enlarged }));
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"` +
      ` font-family="${FONT_FAMILY}" role="img">`,
    `<title>${escapeXml(title ?? "Images with labels")}</title>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    ...parts,
    "</svg>",
  ].join("\n");
}

function defaultColumns(count: number): number {
  return count <= 5 ? Math.max(1, count) : count <= 8 ? 4 : 8;
}

function labelWidth({ label, detail, verdict }: LabelledImage): number {
  const mark = verdict === undefined ? "" : VERDICTS[verdict].mark;
  return Math.max(textWidth(mark + label, LABEL_SIZE, "bold"), textWidth(detail ?? "", DETAIL_SIZE));
}

interface CellLayout {
  /** Middle of the cell, top of the image, sides of the image and of the cell: in the units of the picture. */
  centre: number;
  top: number;
  shown: number;
  cell: number;
  /** Pixels along one side of the image, and pixels of the PNG for one of them. */
  side: number;
  enlarged: number;
}

function cellSvg(
  { pixels, label, detail, verdict }: LabelledImage,
  { centre, top, shown, cell, side, enlarged }: CellLayout,
): string {
  // Whole coordinates keep each enlarged pixel equally large.
  const left = Math.round(centre - shown / 2);
  const { colour, mark } = verdict === undefined ? { colour: "#222", mark: "" } : VERDICTS[verdict];
  const parts = [
    `<image x="${left}" y="${px(top)}" width="${shown}" height="${shown}" preserveAspectRatio="none"` +
      ` style="image-rendering:pixelated" image-rendering="optimizeSpeed" href="${pngDataUri(pixels, side, side, enlarged)}"/>`,
  ];
  if (verdict !== undefined) {
    const half = FRAME / 2;
    parts.push(
      `<rect x="${px(left - half)}" y="${px(top - half)}" width="${shown + FRAME}" height="${shown + FRAME}"` +
        ` fill="none" stroke="${colour}" stroke-width="${FRAME}"/>`,
    );
  }
  let y = top + shown + LABEL_SIZE + 4;
  const line = fitText(mark + label, cell, LABEL_SIZE, "bold");
  parts.push(text(centre, y, line, { size: LABEL_SIZE, colour, weight: "bold", anchor: "middle" }));
  if (detail !== undefined) {
    y += DETAIL_SIZE + 5;
    const second = fitText(detail, cell, DETAIL_SIZE);
    parts.push(text(centre, y, second, { size: DETAIL_SIZE, colour: "#555", anchor: "middle" }));
  }
  return parts.join("\n");
}

interface TextStyle {
  size: number;
  colour: string;
  weight?: "bold";
  anchor?: "middle";
}

function text(x: number, y: number, content: string, { size, colour, weight, anchor }: TextStyle): string {
  return (
    `<text x="${px(x)}" y="${px(y)}" font-size="${size}" fill="${colour}"` +
    (weight === undefined ? "" : ` font-weight="${weight}"`) +
    (anchor === undefined ? "" : ` text-anchor="${anchor}"`) +
    `>${escapeXml(content)}</text>`
  );
}
