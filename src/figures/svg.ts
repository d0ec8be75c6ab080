/** Small things that every picture made of SVG text needs. */

/**
 * DejaVu Sans is the font that pictures are drawn with here; a browser without it takes the next one. Layout is made
 * for DejaVu, which is wider than the others, so nothing overlaps with those either.
 */
export const FONT_FAMILY = "'DejaVu Sans', Verdana, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif";

/** Text for use between tags or in a quoted attribute. Characters that XML does not allow become U+FFFD. */
export function escapeXml(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd")
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;")
    .replace(/"/g, "&quot;");
}

/** A number for a path or an attribute: at most two decimals, which is a fiftieth of a pixel at double size. */
export function px(value: number): string {
  return String(Math.round(value * 100) / 100);
}

/** A number between 0 and 1 with two decimals and no more than is needed: `0`, `.05`, `.98`, `1`. */
export function unitText(value: number): string {
  const rounded = value.toFixed(2);
  return rounded === "0.00" || rounded === "-0.00" ? "0" : rounded === "1.00" ? "1" : rounded.replace(/^(-?)0/, "$1");
}

/** Advance widths of DejaVu Sans Bold in em, rounded up, by kind of character; the regular weight is narrower. */
const WIDTHS: readonly (readonly [RegExp, number])[] = [
  [/[ijl.,:;'|!I ]/, 0.4],
  [/[ftr()[\]/-]/, 0.53],
  [/[mwMW@%]/, 1.11],
  [/[A-Z&=+<>~]/, 0.85],
  [/[\u0020-\u024f]/, 0.72],
];

/** Width in pixels that `text` needs at most in DejaVu Sans (an estimate; one full em for what is not Latin). */
export function textWidth(text: string, fontSize: number, weight: "normal" | "bold" = "normal"): number {
  let em = 0;
  for (const character of text) em += WIDTHS.find(([kind]) => kind.test(character))?.[1] ?? 1;
  return em * fontSize * (weight === "bold" ? 1 : 0.9);
}

/** `text`, or as much of its beginning as fits into `width` pixels together with an ellipsis. */
export function fitText(text: string, width: number, fontSize: number, weight: "normal" | "bold" = "normal"): string {
  if (textWidth(text, fontSize, weight) <= width) return text;
  const characters = Array.from(text);
  while (characters.length > 0 && textWidth(characters.join("") + "…", fontSize, weight) > width) characters.pop();
  return characters.join("").trimEnd() + "…";
}

/** `text` in lines of at most `width` pixels, broken at spaces; a word that is longer is broken after punctuation, or anywhere. */
export function wrapText(
  text: string,
  width: number,
  fontSize: number,
  weight: "normal" | "bold" = "normal",
): string[] {
  const fits = (line: string) => textWidth(line.trimEnd(), fontSize, weight) <= width;
  const lines: string[] = [];
  let line = "";
  const add = (piece: string) => {
    if (line !== "" && !fits(line + piece)) {
      lines.push(line.trimEnd());
      line = "";
    }
    line += line === "" ? piece.trimStart() : piece;
  };
  for (const word of text.split(/(?<= )/)) {
    if (fits(word)) add(word);
    else
      for (const part of word.split(/(?<=[./_-])/)) {
        if (fits(part)) add(part);
        else for (const character of part) add(character);
      }
  }
  if (line.trimEnd() !== "" || lines.length === 0) lines.push(line.trimEnd());
  return lines;
}
