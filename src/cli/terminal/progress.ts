/**
 * Progress of a long job on one line: label, bar, percent, count, rate, time used, time left, and fields of the caller.
 *
 *     train full ━━━━━━━━━━━───────  61% 3,812/6,250 196 it/s 0:19, 0:12 left loss=1.832
 *
 * Our own rather than `cli-progress`, which hides the cursor, does not fit its line to the width, and reports by time
 * alone off a terminal. The cursor is never hidden here, so nothing has to be put right after an interruption.
 */

import { colorDepth, displayWidth, fitColumns, isInteractive, paint } from "./output.ts";
import type { Output } from "./output.ts";

const REDRAW_MS = 100;
/** Off a terminal: a line for each tenth of the job, but none sooner than this after the one before … */
const LINE_MS = 2_000;
/** … and one after this time even without a tenth, so that a log shows that the job lives. */
const LINE_AT_LEAST_MS = 30_000;
/** The rate is that of the last so many milliseconds, so that it follows when the job becomes slower. */
const RATE_WINDOW_MS = 10_000;
const BAR_COLUMNS = { least: 8, most: 30 };
/** Columns where the stream does not tell. */
const DEFAULT_COLUMNS = 80;

export interface ProgressOptions {
  label: string;
  /** The count at the end. Default: unknown, then there is no bar and no time left. */
  total?: number;
  /** The count at the start, for a job that was resumed: it does not enter the rate. Default 0. */
  initial?: number;
  /** What is counted, for the rate: `"it"`, `"images"`. `"B"` shows bytes as kB, MB, GB. Default `"it"`. */
  unit?: string;
  /** Default `process.stderr`. */
  stream?: Output;
  /** Default `process.env`. Read for TERM, NO_COLOR and FORCE_COLOR. */
  env?: NodeJS.ProcessEnv;
  /** Milliseconds on a clock that does not go back. Default `performance.now`. */
  now?: () => number;
}

/** Shown behind the bar as `name=value`; numbers with four digits. */
export type ProgressFields = Readonly<Record<string, string | number>>;

export class Progress {
  readonly #label: string;
  readonly #total: number | undefined;
  readonly #initial: number;
  readonly #unit: string;
  readonly #stream: Output;
  readonly #interactive: boolean;
  readonly #colours: boolean;
  readonly #now: () => number;
  readonly #startedAt: number;
  #count: number;
  #fields: ProgressFields = {};
  #shownAt: number;
  #shownCount: number;
  #samples: { at: number; count: number }[];
  #ended = false;
  #lineOpen = false;

  constructor(options: ProgressOptions) {
    const { label, total, initial = 0, unit = "it", stream = process.stderr, env = process.env } = options;
    this.#label = label;
    this.#total = total;
    this.#initial = initial;
    this.#unit = unit;
    this.#stream = stream;
    this.#interactive = isInteractive(stream, env);
    this.#colours = colorDepth(stream, env) > 1;
    this.#now = options.now ?? (() => performance.now());
    this.#startedAt = this.#now();
    this.#count = initial;
    this.#shownCount = initial;
    this.#shownAt = this.#startedAt;
    this.#samples = [{ at: this.#startedAt, count: initial }];
    if (this.#interactive) this.#draw();
  }

  /** Milliseconds since the start. */
  get elapsedMs(): number {
    return this.#now() - this.#startedAt;
  }

  /**
   * The job has come to `count`. Cheap enough to be called for each step: it draws at most ten times a second on a
   * terminal, and about ten times in all elsewhere.
   * @param fields replace those of the last call; default: keep them
   */
  update(count: number, fields: ProgressFields = this.#fields): void {
    this.#count = count;
    this.#fields = fields;
    if (this.#ended || !this.#due(this.#now())) return;
    this.#sample();
    if (this.#interactive) this.#draw();
    else this.#writeLine(this.#line(Infinity));
  }

  /** The job is done: the line stays, with the total time and the mean rate. Later calls do nothing. */
  finish(fields: ProgressFields = this.#fields): void {
    this.#fields = fields;
    this.#end(true);
  }

  /** The job stops before its end, by an error or a signal: the line stays as it is, what follows starts below it. */
  stop(): void {
    this.#end(false);
  }

  /** Writes a line of its own above the bar. */
  note(text: string): void {
    this.#stream.write(this.#lineOpen ? `\r\u001b[K${text}\n` : `${text}\n`);
    if (this.#lineOpen) this.#draw();
  }

  #end(done: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    // The mean over the whole job, not the rate of its last seconds.
    this.#samples = [{ at: this.#startedAt, count: this.#initial }];
    if (this.#interactive) {
      this.#draw(done);
      this.#stream.write("\n");
      this.#lineOpen = false;
    } else {
      this.#writeLine(this.#line(Infinity, done));
    }
  }

  #due(now: number): boolean {
    const waited = now - this.#shownAt;
    if (this.#interactive) return waited >= REDRAW_MS;
    if (this.#count === this.#total) return false; // finish() writes that line
    const tenth = this.#total !== undefined && this.#count - this.#shownCount >= (this.#total - this.#initial) / 10;
    return (tenth && waited >= LINE_MS) || waited >= LINE_AT_LEAST_MS;
  }

  #sample(): void {
    const now = this.#now();
    this.#samples.push({ at: now, count: this.#count });
    // The oldest one kept is the last from before the window.
    const inside = this.#samples.findIndex(({ at }) => at > now - RATE_WINDOW_MS);
    if (inside > 1) this.#samples.splice(0, inside - 1);
  }

  #draw(done = false): void {
    const columns = this.#stream.columns ?? DEFAULT_COLUMNS;
    // One column stays free: a full line makes some terminals wrap. Erasing after writing does not flicker.
    this.#stream.write(`\r${this.#line(columns - 1, done)}\u001b[K`);
    this.#lineOpen = true;
    this.#shown();
  }

  #writeLine(line: string): void {
    this.#stream.write(line + "\n");
    this.#shown();
  }

  #shown(): void {
    this.#shownAt = this.#now();
    this.#shownCount = this.#count;
  }

  /** The line in at most `columns`; Infinity is a line for a log, without bar and colours. */
  #line(columns: number, done = false): string {
    const total = this.#total;
    const fraction = total === undefined ? undefined : total === 0 ? 1 : Math.min(1, Math.max(0, this.#count / total));
    const rate = this.#rate();
    const left = total === undefined || rate === undefined ? undefined : (total - this.#count) / rate;
    const elapsed = duration(this.elapsedMs / 1000);
    const inBytes = this.#unit === "B";
    const quantity = inBytes ? byteText : (n: number) => n.toLocaleString("en-US");

    // As wide as it will become, so that nothing moves or drops out on the way.
    const padded = quantity(this.#count).padStart(
      columns === Infinity || total === undefined ? 0 : quantity(total).length,
    );

    // In the order of the line; what has the lowest rank goes first when the line is too narrow.
    const parts: { text: string; rank: number }[] = [
      { text: this.#label, rank: 9 },
      { text: fraction === undefined ? "" : `${String(Math.floor(fraction * 100)).padStart(3)}%`, rank: 8 },
      { text: total === undefined ? quantity(this.#count) : `${padded}/${quantity(total)}`, rank: 4 },
      {
        text: rate === undefined ? "" : inBytes ? `${byteText(rate)}/s` : `${rateText(rate)} ${this.#unit}/s`,
        rank: 3,
      },
      { text: done || left === undefined ? elapsed : `${elapsed}, ${duration(left)} left`, rank: 5 },
      { text: fieldText(this.#fields), rank: 6 },
    ].filter(({ text }) => text !== "");
    const width = () => parts.reduce((sum, { text }) => sum + displayWidth(text) + 1, -1);
    while (parts.length > 1 && width() > columns) {
      const lowest = Math.min(...parts.map(({ rank }) => rank));
      parts.splice(
        parts.findIndex(({ rank }) => rank === lowest),
        1,
      );
    }
    const texts = parts.map(({ text }) => fitColumns(text, columns));
    const room = columns - width() - 1;
    if (fraction !== undefined && columns !== Infinity && room >= BAR_COLUMNS.least) {
      texts.splice(1, 0, this.#bar(fraction, Math.min(room, BAR_COLUMNS.most)));
    }
    return texts.join(" ");
  }

  #bar(fraction: number, columns: number): string {
    const filled = Math.floor(fraction * columns);
    return (
      paint("━".repeat(filled), fraction === 1 ? "green" : "cyan", this.#colours) +
      paint("─".repeat(columns - filled), "dim", this.#colours)
    );
  }

  /** Units in a second since the oldest sample kept, or nothing yet. */
  #rate(): number | undefined {
    const [oldest] = this.#samples;
    const ms = this.#now() - (oldest?.at ?? 0);
    const counted = this.#count - (oldest?.count ?? 0);
    return ms > 0 && counted > 0 ? (counted / ms) * 1000 : undefined;
  }
}

/** Seconds as m:ss, or h:mm:ss from an hour on. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (n: number) => String(n).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** A number of bytes in decimal units: 1.5 MB. */
export function byteText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  // 999.95 and more would be shown as 1000.0.
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

function rateText(rate: number): string {
  return rate >= 100 ? Math.round(rate).toLocaleString("en-US") : rate.toPrecision(rate >= 1 ? 3 : 2);
}

function fieldText(fields: ProgressFields): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${typeof value === "number" ? value.toPrecision(4) : value}`)
    .join(" ");
}
