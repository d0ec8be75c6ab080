/** What stands around every chart: white ground, title, subtitle and legend above it, a note below. Long ones take several lines. */
import { escapeXml, FONT_FAMILY, px, wrapText } from "./svg.ts";

export interface FrameOptions {
  readonly title: string;
  readonly subtitle?: string | undefined;
  readonly note?: string | undefined;
  /** Pixels. */
  readonly width: number;
  /** Where the texts begin. Default: 24. */
  readonly left?: number;
}

export interface Frame {
  /** Below title and subtitle. */
  readonly top: number;
  /** Height of the note; some space where there is none. */
  readonly foot: number;
  /** The whole picture. @param height of all of it, with the note */
  close(body: readonly string[], height: number): string;
}

const TITLE_SIZE = 17;
/** Of titles that need more than a line. */
const SMALL_TITLE_SIZE = 14;
const TEXT_SIZE = 12;
const NOTE_SIZE = 11;
const EDGE = 12;

export function frame({ title, subtitle, note, width, left = 24 }: FrameOptions): Frame {
  const room = width - left - EDGE;
  const isLong = wrapText(title, room, TITLE_SIZE, "bold").length > 1;
  const titleSize = isLong ? SMALL_TITLE_SIZE : TITLE_SIZE;
  const titles = wrapText(title, room, titleSize, "bold");
  const subtitles = subtitle === undefined ? [] : wrapText(subtitle, room, TEXT_SIZE);
  const notes = note === undefined ? [] : wrapText(note, width - 2 * EDGE, NOTE_SIZE);
  const text = (content: string, x: number, y: number, more: string) =>
    `<text x="${px(x)}" y="${px(y)}" ${more}>${escapeXml(content)}</text>`;
  const titleEnd = 30 + (titles.length - 1) * (titleSize + 4);
  const subtitleEnd = titleEnd + subtitles.length * (TEXT_SIZE + 4);
  return {
    top: subtitleEnd + (subtitles.length === 0 ? 3 : 7),
    foot: notes.length === 0 ? 8 : notes.length * (NOTE_SIZE + 3) + 12,
    close: (body, height) =>
      [
        `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${px(height)}" viewBox="0 0 ${width} ${px(height)}"` +
          ` font-family="${FONT_FAMILY}" font-size="${TEXT_SIZE}" role="img">`,
        `<title>${escapeXml(title)}</title>`,
        `<rect width="100%" height="100%" fill="#fff"/>`,
        ...titles.map((line, i) =>
          text(line, left, 30 + i * (titleSize + 4), `font-size="${titleSize}" font-weight="bold" fill="#111"`),
        ),
        ...subtitles.map((line, i) => text(line, left, titleEnd + (i + 1) * (TEXT_SIZE + 4) + 3, `fill="#555"`)),
        ...body,
        ...notes.map((line, i) =>
          text(
            line,
            EDGE,
            height - 12 - (notes.length - 1 - i) * (NOTE_SIZE + 3),
            `font-size="${NOTE_SIZE}" fill="#666"`,
          ),
        ),
        "</svg>",
      ].join("\n"),
  };
}
