/**
 * Texts with a class, for `stage: cls`: `{"text", "label"}`, `{"sentence1", "sentence2", "label"}` and the like. Two texts are
 * read together, the second after the first.
 *
 * Names of columns are those of the data sets of GLUE, SuperGLUE and their like on the hub; others are named in the
 * configuration (`text_column_names`, `label_column_name`, as in transformers' example scripts) or in `dataset_info.json`.
 */
import { DataError } from "../../../errors.ts";
import { nearest } from "../../../nearest.ts";
import { classOf, labelText, namedClasses } from "../classes.ts";
import { field } from "../readers/reader.ts";
import type { JsonRecord } from "../readers/reader.ts";
import { ColumnTable } from "./column-table.ts";
import { withUnused } from "./unused.ts";
import { type Columns, type Detected, type Format, isMissing, kindOf, requiredText, RowProblem } from "./format.ts";
import { OPENAI_TAGS } from "./tags.ts";

/** Names of columns that a configuration gives. */
export interface ClassColumns {
  /** One, or two that are read together: columns, or texts with columns in braces. Default: found by their names. */
  readonly text?: readonly string[];
  /** Default: found by its name. */
  readonly label?: string;
}

/** A column within a text. */
const PLACE = /\{([^{}]+)\}/g;
const LABELS = ["label", "labels", "class", "category", "target", "gold_label"];
const PAIRS: readonly (readonly [string, string])[] = [
  ["sentence1", "sentence2"],
  ["premise", "hypothesis"],
  ["question1", "question2"],
  ["question", "passage"],
  ["question", "sentence"],
  ["text1", "text2"],
  ["text", "text_pair"],
  ["sentence_a", "sentence_b"],
  ["sentence_A", "sentence_B"],
  ["claim", "evidence"],
  ["context", "question"],
];
const TEXTS = ["text", "sentence", "content", "review", "claim", "question", "headline", "tweet", "document"];

export const classification: Format = {
  name: "classification",
  shape: '{"text", "label"} or {"sentence1", "sentence2", "label"} (also premise/hypothesis, question/passage, …)',

  // Whether these columns are meant as classes is for the stage to say: the same ones may be plain text.
  detect: () => [],

  convert(record, { columns, classes }) {
    const { text, text_pair: pair } = columns;
    const label = labelIn(record, columns);
    if (classes === undefined) throw new TypeError("the classes of the run are not known yet");
    const index = classOf(label, classes);
    if (index === undefined) {
      throw new RowProblem(`label ${JSON.stringify(label)} is none of ${namedClasses(classes.names)}`);
    }
    return {
      kind: "class",
      text: textIn(record, text!),
      ...(pair === undefined ? {} : { pair: textIn(record, pair) }),
      label: index,
    };
  },
};

/** The label of a record, as text. @throws RowProblem when it has none */
export function labelIn(record: JsonRecord, { label: column = "label" }: Columns): string {
  const value = field(record, column);
  const label = labelText(value);
  if (label !== undefined) return label;
  if (typeof value === "number" && !Number.isInteger(value)) {
    throw new RowProblem(`column "${column}" is a number that is no class: values are not learnt, only classes`);
  }
  if (typeof value === "number" || typeof value === "bigint") {
    throw new RowProblem(`column "${column}" is below 0: no class`);
  }
  const got = isMissing(record, column) ? "missing" : value === "" ? "empty" : `${kindOf(value)}, not a class`;
  throw new RowProblem(`column "${column}" is ${got}`);
}

/** @throws DataError listing the columns when it is not clear which are meant */
export function detectClassification(
  records: readonly JsonRecord[],
  dataset: string,
  { text: wanted, label: wantedLabel }: ClassColumns = {},
): Detected {
  const table = new ColumnTable(records);
  const missing = [...(wanted ?? []).flatMap(columnsIn), ...(wantedLabel === undefined ? [] : [wantedLabel])].find(
    (name) => !table.has(name),
  );
  if (missing !== undefined) {
    throw new DataError({
      where: `${dataset}: ${missing === wantedLabel ? "label_column_name" : "text_column_names"}`,
      what: `no record has the column "${missing}"`,
      got: `columns ${table.describe()}`,
      hint: `the nearest one is "${nearest(missing, table.names)}"`,
    });
  }
  const labels = wantedLabel === undefined ? LABELS.filter((name) => table.has(name)) : [wantedLabel];
  const texts = wanted === undefined ? textColumns(table, labels) : [wanted];
  const [label, text] = [labels[0], texts[0]];
  if (label === undefined || text === undefined || labels.length > 1 || texts.length > 1) {
    const unclear = [
      ...(labels.length === 1 ? [] : [`${labels.length === 0 ? "no column" : "more than one"} for the label`]),
      ...(texts.length === 1 ? [] : [`${texts.length === 0 ? "no column" : "more than one choice"} for the text`]),
    ];
    throw new DataError({
      where: dataset,
      what: `it is not clear what is to be classified: ${unclear.join(", and ")}`,
      got: `columns ${table.describe()}`,
      expected: classification.shape,
      hint: "text_column_names: NAME (or two: NAME,NAME) and label_column_name: NAME say which columns are meant",
    });
  }
  const [first, second] = text;
  const columns: Columns = { text: first!, ...(second === undefined ? {} : { text_pair: second }), label };
  const names = text.map((name) => `"${name}"`).join(" and ");
  return withUnused(
    { format: classification, columns, tags: OPENAI_TAGS, why: `text ${names}, class "${label}"` },
    table,
    [label, ...text.flatMap(columnsIn)],
  );
}

/** `{context} {question}` is both columns with a space between them; anything else is the name of a column. */
function columnsIn(text: string): string[] {
  const names = [...text.matchAll(PLACE)].map(([, name]) => name!);
  return names.length === 0 ? [text] : names;
}

/** @throws RowProblem when a column is missing, empty or no text */
function textIn(record: JsonRecord, text: string): string {
  if (text.search(PLACE) < 0) return requiredText(record, text);
  return text.replaceAll(PLACE, (_, name: string) => requiredText(record, name));
}

/** The columns of the texts alone, where classes are asked for. @throws DataError when it is not clear which are meant */
export function classColumnsOf(records: readonly JsonRecord[], dataset: string): readonly string[] {
  const table = new ColumnTable(records);
  const texts = textColumns(table, LABELS);
  if (texts.length === 1) return texts[0]!;
  throw new DataError({
    where: dataset,
    what: texts.length === 0 ? "no column is known to be the text" : "more than one column may be the text",
    got: `columns ${table.describe()}`,
    hint: "--text-columns NAME (or two: NAME,NAME)",
  });
}

/** The column of the class, if there is one. */
export function labelColumnOf(records: readonly JsonRecord[]): string | undefined {
  const table = new ColumnTable(records);
  return LABELS.find((name) => table.has(name));
}

/** Two columns that are known as a pair win over one of them alone. */
function textColumns(table: ColumnTable, labels: readonly string[]): (readonly string[])[] {
  const pairs = PAIRS.filter((pair) => pair.every((name) => table.isText(name)));
  if (pairs.length > 0) return [...pairs];
  return TEXTS.filter((name) => table.isText(name) && !labels.includes(name)).map((name) => [name]);
}
