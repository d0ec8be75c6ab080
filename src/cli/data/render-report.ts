/** The report on the data of a run, for a person. */
import { countFates, type DataReport, type Fate, type SampleView, type Segment } from "../../data/report/report.ts";
import { displayWidth, paint, type Style } from "../terminal/output.ts";
import { table } from "../terminal/table.ts";
import { visible } from "./visible.ts";

export interface RenderOptions {
  /** Trained text in green; false: between « and ». */
  readonly color: boolean;
  /** Columns of a line. */
  readonly width: number;
  /** Characters of a sample that are shown at most; the middle is left out. Default: all. */
  readonly sampleCharacters?: number;
}

/** The report in lines, with a line end behind the last. */
export function renderReport(report: DataReport, options: RenderOptions): string {
  const lines = new Lines(options);
  heading(report, lines);
  datasets(report, lines);
  fates(report, lines);
  numbers(report, lines);
  classes(report, lines);
  samples(report, lines, options.sampleCharacters ?? Infinity);
  return lines.text();
}

const LEAST_COLUMNS = 40;
const USUAL_COLUMNS = 80;

class Lines {
  readonly #lines: string[] = [];
  readonly #color: boolean;
  readonly #width: number;

  constructor({ color, width }: RenderOptions) {
    this.#color = color;
    // Some terminals say 0.
    this.#width = width > 0 ? Math.max(width, LEAST_COLUMNS) : USUAL_COLUMNS;
  }

  get color(): boolean {
    return this.#color;
  }

  /** Broken at spaces; what follows is indented by `indent` columns. */
  add(text: string, { style, indent = 0 }: { style?: Style; indent?: number } = {}): void {
    for (const line of wrapped(text, this.#width, indent)) {
      this.#lines.push(style === undefined ? line : paint(line, style, this.#color));
    }
  }

  /** As it is. */
  raw(text: string): void {
    this.#lines.push(text);
  }

  text(): string {
    return `${this.#lines.join("\n")}\n`;
  }
}

function heading({ part, stage, firstRecords }: DataReport, lines: Lines): void {
  const name = part === "train" ? "training data" : "validation data";
  const streamed =
    firstRecords === undefined ? "" : `; streamed: only the first ${count(firstRecords)} records were looked at`;
  lines.add(`${name} (stage ${stage}${streamed})`, { style: "bold" });
}

function datasets({ datasets: sets }: DataReport, lines: Lines): void {
  const rows = sets.map(({ name, format, read, kept }) => [visible(name), format, count(read), count(kept)]);
  const align = ["left", "left", "right", "right"] as const;
  lines.raw(table(rows, { header: ["data set", "format", "read", "kept"], align }));
  for (const { name, why } of sets) {
    lines.add(`${sets.length > 1 ? `${visible(name)}: ` : ""}${visible(why)}`, { style: "dim", indent: 2 });
  }
  lines.raw("");
}

/** What did not come through as it was. */
function fates(
  { bad, dropped, truncated, remarks, unknown, examples, cutoffLen, read }: DataReport,
  lines: Lines,
): void {
  const out = [
    `read ${count(read)}`,
    `kept ${count(examples)}`,
    `cut ${count(truncated.count)}`,
    `dropped ${count(countFates(dropped))}`,
    `bad ${count(countFates(bad))}`,
  ];
  lines.add(out.join(" · "));
  const warn = (text: string, places: readonly string[]): void => {
    lines.add(`! ${text}`, { style: "red", indent: 2 });
    if (places.length > 0) lines.add(`    ${places.map((place) => visible(place)).join(", ")}`, { indent: 4 });
  };
  const list = (all: readonly Fate[], what: string): void => {
    for (const { reason, count: n, places } of all)
      warn(
        `${count(n)} (${percent(n, read)}) ${what}: ${visible(reason)}`,
        n > places.length ? [...places, "…"] : places,
      );
  };
  list(bad, "bad");
  list(dropped, "dropped");
  if (truncated.count > 0) {
    const { count: n, tokensLost, longest, stopLost, places } = truncated;
    const lost = stopLost === 0 ? "" : `; ${count(stopLost)} lost the stop token`;
    const are = n === 1 ? "was longer than" : "were longer than";
    const much = `${counted(tokensLost, "token")} lost${lost}; the longest had ${count(longest)} tokens`;
    const text = `${counted(n, "example")} (${percent(n, examples)}) ${are} cutoff_len ${cutoffLen} and cut: ${much}`;
    warn(text, n > places.length ? [...places, "…"] : places);
  }
  if (unknown !== undefined) {
    warn(
      `the tokenizer has no token for some of the text: ${counted(unknown.count, "token")} ${unknown.count === 1 ? "is" : "are"} ${unknown.token}`,
      [],
    );
  }
  for (const { reason, count: n, places } of remarks) {
    lines.add(`- ${counted(n, "example")} ${reason} (${places[0]})`, { indent: 2 });
  }
}

function numbers(report: DataReport, lines: Lines): void {
  const { tokens, lengths, stopTrained, examples, rows, cutoffLen, template, stage } = report;
  lines.raw("");
  const line = (name: string, text: string, style?: Style): void =>
    lines.add(`${name.padEnd(12)}${text}`, { indent: 12, ...(style === undefined ? {} : { style }) });
  const isClasses = stage === "cls";
  const trained = isClasses
    ? `${counted(tokens.trained, "text")} with a class`
    : `${count(tokens.trained)} trained on (${percent(tokens.trained, tokens.total)})`;
  line("tokens", `${count(tokens.total)} per epoch, ${trained}`);
  if (lengths !== undefined) {
    const { min, p5, p50, p95, max } = lengths;
    const all = [
      `min ${count(min)}`,
      `5% ${count(p5)}`,
      `median ${count(p50)}`,
      `95% ${count(p95)}`,
      `max ${count(max)}`,
    ];
    line("length", all.join(" · "));
  }
  const isBad = stopTrained === 0 && examples > 0 && stage === "sft";
  const stops = `${percent(stopTrained, examples)} of the examples end with a stop token that is trained on`;
  if (!isClasses)
    line(
      "stop token",
      isBad ? `! ${stops}: the model would never learn to end an answer` : stops,
      isBad ? "red" : undefined,
    );
  const fill = `${counted(rows.count, "row")} of up to ${count(cutoffLen)} tokens, ${percent(rows.fill, 1)} full, packed from ${counted(examples, "example")}`;
  line("rows", rows.packed ? fill : `${count(rows.count)}, one for each example`);
  if (template === undefined) return;
  const origin = template.origin === "model" ? "the model's own chat template" : `template "${template.name}"`;
  line(
    "template",
    template.origin === "model" && template.name !== "auto" ? `${origin} (as "${template.name}")` : origin,
  );
  for (const note of template.notes) line("", `- ${visible(note)}`);
}

/** Classes that are listed; the data of a run with more is looked at by its JSON. */
const CLASSES_SHOWN = 20;

function classes({ classes: found, examples }: DataReport, lines: Lines): void {
  if (found === undefined) return;
  const { why, counts } = found;
  const majority = counts.reduce((most, one) => (one.count > most.count ? one : most));
  lines.raw("");
  const shown = counts.slice(0, CLASSES_SHOWN);
  const rows = shown.map(({ label, count: n }, i) => [String(i), visible(label), count(n), percent(n, examples)]);
  lines.raw(
    table(rows, { header: ["class", "label", "examples", "share"], align: ["right", "left", "right", "right"] }),
  );
  if (counts.length > shown.length) lines.add(`and ${counts.length - shown.length} more`, { style: "dim" });
  lines.add(
    `labels: ${visible(why)}; always saying ${JSON.stringify(visible(majority.label))} is right for ${percent(majority.count, examples)}`,
    { style: "dim", indent: 2 },
  );
  const empty = counts.filter(({ count: n }) => n === 0);
  if (empty.length > 0 && examples > 0) {
    lines.add(
      `! no example is of ${empty
        .slice(0, 5)
        .map(({ label }) => JSON.stringify(visible(label)))
        .join(", ")}`,
      {
        style: "red",
        indent: 2,
      },
    );
  }
}

function samples({ samples: views }: DataReport, lines: Lines, characters: number): void {
  if (views.length === 0) return;
  lines.raw("");
  const mark = views[0]!.label === undefined ? "trained on" : "the token that tells the class";
  lines.add(`samples (${lines.color ? "green" : "«…»"}: ${mark})`, { style: "bold" });
  for (const [i, view] of views.entries()) {
    const { source, tokens, trained, shown } = view;
    const rest = shown < tokens ? `; the first ${count(shown)} are shown` : "";
    if (i > 0) lines.raw("");
    const what =
      view.label === undefined ? `${count(trained)} trained on` : `class ${JSON.stringify(visible(view.label))}`;
    lines.add(`${visible(source.dataset)}: ${counted(tokens, "token")}, ${what}${rest}`, {
      style: "cyan",
    });
    lines.add(`${visible(source.file)}:${source.line}`, { style: "dim" });
    lines.raw(sampleText(view, lines.color, characters));
  }
}

function sampleText({ segments }: SampleView, color: boolean, characters: number): string {
  return shortened(segments, characters)
    .map(({ text, trained }, i, all) => {
      const shown = visible(text, all[i + 1]?.text);
      if (!color) return trained ? `«${shown}»` : shown;
      // By lines: a pager forgets the colour at the end of one.
      return shown
        .split("\n")
        .map((line) => paint(line, trained ? "green" : "dim", true))
        .join("\n");
    })
    .join("");
}

/** Without the middle where it is too long: the beginning shows the template, the end the stop token. */
function shortened(segments: readonly Segment[], characters: number): Segment[] {
  const length = segments.reduce((sum, { text }) => sum + text.length, 0);
  if (length <= characters) return [...segments];
  const head = Math.ceil((characters * 2) / 3);
  const tail = length - (characters - head);
  const kept: Segment[] = [];
  let at = 0;
  for (const { text, trained } of segments) {
    const [first, last] = [text.slice(0, Math.max(0, head - at)), text.slice(Math.max(0, tail - at))];
    if (first !== "") kept.push({ text: first, trained });
    if (at + text.length >= head && at < head) {
      kept.push({ text: ` […${count(tail - head)} characters…] `, trained: false });
    }
    if (last !== "" && at + text.length > tail) kept.push({ text: last, trained });
    at += text.length;
  }
  return kept;
}

function wrapped(text: string, width: number, indent: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/(?<=\S)(?= )/)) {
    if (line === "" || displayWidth(line + word) <= width) {
      line += word;
      continue;
    }
    lines.push(line);
    line = " ".repeat(indent) + word.trimStart();
  }
  return [...lines, line];
}

function count(n: number): string {
  return n.toLocaleString("en-US");
}

function counted(n: number, noun: string): string {
  return `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
}

/** Never 0 or 100 but where that is so. */
function percent(part: number, whole: number): string {
  if (whole === 0 || part === 0) return "0%";
  if (part === whole) return "100%";
  return `${Math.min(99.9, Math.max(0.1, (100 * part) / whole)).toFixed(1)}%`;
}
