/** `lowrank classify`: texts in, their classes with probabilities out; of a file with classes, how often they are right. */
import { ConfigError, DataError } from "../../errors.ts";
import { classOf, labelText } from "../../data/datasets/classes.ts";
import { classColumnsOf, labelColumnOf } from "../../data/datasets/formats/classification.ts";
import { readerOf } from "../../data/datasets/readers/index.ts";
import { field, type JsonRecord } from "../../data/datasets/readers/reader.ts";
import { type Classified, TextClassifier } from "../../lm/text-classifier.ts";
import type { EngineDevice } from "../../runtime/runtime.ts";
import { ClassCounter } from "../../train/class-metrics.ts";
import { visible } from "../data/visible.ts";
import { fitColumns, type Output } from "../terminal/output.ts";
import { table } from "../terminal/table.ts";

/** Options as commander gives them. */
export interface ClassifyOptions {
  readonly pair?: string;
  readonly input?: string;
  readonly textColumns?: readonly string[];
  readonly labelColumn?: string;
  readonly model?: string;
  readonly cutoffLen?: number;
  readonly batchSize: number;
  readonly device?: EngineDevice;
  readonly storage?: string;
  readonly threads?: number;
  readonly revision?: string;
  readonly offline?: boolean;
  readonly json?: boolean;
}

interface Text {
  readonly text: string;
  readonly pair?: string;
  /** The class that it has. */
  readonly given?: string;
}

/** Texts of a file that are told together: a table needs to know its columns. */
const WINDOW = 256;
/** Classes whose probabilities have a column each. */
const COLUMNS_SHOWN = 6;
const TEXT_COLUMNS = 60;

/**
 * The classes go to stdout, notes to stderr.
 * @throws ConfigError when there is no text; and what loading throws
 */
export async function runClassify(
  model: string,
  texts: readonly string[],
  options: ClassifyOptions,
  { signal, out = process.stdout, log = process.stderr }: { signal?: AbortSignal; out?: Output; log?: Output } = {},
): Promise<void> {
  const { input, pair, json = false } = options;
  if (texts.length === 0 && input === undefined) {
    throw new ConfigError({
      where: "classify",
      what: "there is no text",
      hint: 'lowrank classify MODEL "a text", or --input FILE',
    });
  }
  if (pair !== undefined && input !== undefined) {
    throw new ConfigError({
      where: "--pair",
      what: "texts of a file have their second texts in a column",
      hint: "--text-columns FIRST,SECOND",
    });
  }
  const { cutoffLen, batchSize, device, storage, threads, revision, offline } = options;
  const classifier = await TextClassifier.load(model, {
    batchSize,
    ...(options.model === undefined ? {} : { base: options.model }),
    ...(cutoffLen === undefined ? {} : { cutoffLen }),
    ...(device === undefined ? {} : { device }),
    ...(storage === undefined ? {} : { storage }),
    ...(threads === undefined ? {} : { threads }),
    ...(revision === undefined ? {} : { revision }),
    ...(offline === undefined ? {} : { offline }),
    ...(signal === undefined ? {} : { signal }),
    onWarning: (warning) => log.write(`! ${warning}\n`),
  });
  try {
    const { labels } = classifier;
    const counter = new ClassCounter(labels.length);
    let [cut, unknown] = [0, 0];
    for await (const some of windows(textsOf(texts, options))) {
      signal?.throwIfAborted();
      const found = await classifier.classify(some);
      found.forEach(({ scores, truncatedFrom }, i) => {
        if (truncatedFrom !== undefined) cut++;
        const { given } = some[i]!;
        if (given === undefined) return;
        const right = classOf(given, { names: labels });
        if (right === undefined) unknown++;
        // Logarithms of probabilities are logits.
        else counter.add(scores.map(Math.log), right);
      });
      out.write(json ? jsonLines(some, found, labels) : `${tableOf(some, found, labels)}\n`);
    }
    if (cut > 0) log.write(`! ${cut} texts were longer than the model reads, and lost their ends\n`);
    if (unknown > 0) log.write(`! ${unknown} texts have a class that the model does not tell (${labels.join(", ")})\n`);
    if (counter.count > 0) {
      const { accuracy, f1, loss } = counter.metrics();
      const numbers = `accuracy ${accuracy.toFixed(4)}, macro F1 ${f1.toFixed(4)}, loss ${loss.toFixed(4)}`;
      log.write(`${counter.count} texts with a class: ${numbers}\n`);
    }
  } finally {
    await classifier.dispose();
  }
}

async function* textsOf(texts: readonly string[], options: ClassifyOptions): AsyncGenerator<Text, void, void> {
  const { pair, input, textColumns, labelColumn } = options;
  for (const text of texts) yield { text, ...(pair === undefined ? {} : { pair }) };
  if (input === undefined) return;
  let columns: { readonly text: readonly string[]; readonly label: string | undefined } | undefined;
  for await (const { record, line } of readerOf(input).records(input)) {
    columns ??= {
      text: textColumns ?? classColumnsOf([record], input),
      label: labelColumn ?? labelColumnOf([record]),
    };
    const where = `${input}:${line}`;
    const [text, second] = columns.text.map((name) => textIn(record, name, where));
    const given = columns.label === undefined ? undefined : labelText(field(record, columns.label));
    yield {
      text: text!,
      ...(second === undefined ? {} : { pair: second }),
      ...(given === undefined ? {} : { given }),
    };
  }
}

function textIn(record: JsonRecord, column: string, where: string): string {
  const value = field(record, column);
  if (typeof value === "string" && value.trim() !== "") return value;
  const got = Object.keys(record).join(", ");
  throw new DataError({ where, what: `has no text in the column "${column}"`, got, hint: "--text-columns NAME" });
}

async function* windows(texts: AsyncIterable<Text>): AsyncGenerator<readonly Text[], void, void> {
  let some: Text[] = [];
  for await (const text of texts) {
    some.push(text);
    if (some.length < WINDOW) continue;
    yield some;
    some = [];
  }
  if (some.length > 0) yield some;
}

function jsonLines(texts: readonly Text[], found: readonly Classified[], labels: readonly string[]): string {
  return found
    .map(({ label, score, scores }, i) => {
      const { text, pair, given } = texts[i]!;
      const line = {
        text,
        ...(pair === undefined ? {} : { text_pair: pair }),
        ...(given === undefined ? {} : { given }),
        label,
        score,
        scores: Object.fromEntries(labels.map((name, c) => [name, scores[c]!])),
      };
      return `${JSON.stringify(line)}\n`;
    })
    .join("");
}

function tableOf(texts: readonly Text[], found: readonly Classified[], labels: readonly string[]): string {
  const shown = labels.length <= COLUMNS_SHOWN ? labels : [];
  const hasGiven = texts.some(({ given }) => given !== undefined);
  const rows = found.map(({ label, score, scores }, i) => {
    const { text, pair, given = "" } = texts[i]!;
    const both = pair === undefined ? text : `${text} | ${pair}`;
    return [
      visible(label),
      ...(hasGiven ? [visible(given)] : []),
      ...(shown.length === 0 ? [percent(score)] : shown.map((_, c) => percent(scores[c]!))),
      fitColumns(visible(both.replaceAll(/\s+/g, " ")), TEXT_COLUMNS),
    ];
  });
  const header = [
    "class",
    ...(hasGiven ? ["given"] : []),
    ...(shown.length === 0 ? ["p"] : shown.map((name) => `p(${visible(name)})`)),
    "text",
  ];
  return table(rows, { header });
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}
