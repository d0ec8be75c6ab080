/** What a program needs to know about the stream that it writes text for people to. */

import stringWidth from "string-width";

/** The part of `process.stderr` and `process.stdout` that is used here; a file or a pipe has only `write`. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  /** Characters in a line. */
  readonly columns?: number;
  /** 1 (no colour), 4, 8 or 24 bits, by the environment. */
  getColorDepth?(env?: object): number;
}

export type Style = "bold" | "dim" | "red" | "green" | "cyan";

const CODES: Record<Style, readonly [on: number, off: number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  cyan: [36, 39],
};

/** Whether the cursor of the stream can be moved: a terminal, and not one that calls itself dumb. */
export function isInteractive(stream: Output, env: NodeJS.ProcessEnv = process.env): boolean {
  return stream.isTTY === true && env["TERM"] !== "dumb";
}

/** Bits of colour: 1 off a terminal, and as Node judges on one (it honours NO_COLOR and FORCE_COLOR). */
export function colorDepth(stream: Output, env: NodeJS.ProcessEnv = process.env): number {
  return isInteractive(stream, env) ? (stream.getColorDepth?.(env) ?? 1) : 1;
}

/** The text in a style, or as it is where `colours` is false. */
export function paint(text: string, style: Style, colours: boolean): string {
  if (!colours || text === "") return text;
  const [on, off] = CODES[style];
  return `\u001b[${on}m${text}\u001b[${off}m`;
}

/** Columns that a text takes on a terminal: colours take none, Chinese characters and emoji two each. */
export function displayWidth(text: string): number {
  return stringWidth(text);
}

/** `text` (without colours), or its beginning and an ellipsis so that it takes at most `width` columns. */
export function fitColumns(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  if (width < 1) return "";
  const characters = Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment);
  while (characters.length > 0 && displayWidth(characters.join("")) > width - 1) characters.pop();
  return characters.join("") + "…";
}

/** `text` with spaces around it, so that it takes `width` columns. */
export function pad(text: string, width: number, align: "left" | "right" | "centre"): string {
  const spare = Math.max(0, width - displayWidth(text));
  const before = align === "left" ? 0 : align === "right" ? spare : Math.floor(spare / 2);
  return " ".repeat(before) + text + " ".repeat(spare - before);
}
