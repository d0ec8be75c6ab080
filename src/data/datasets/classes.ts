/**
 * The classes of a run: their names in a fixed order, and which of them a label of a file is.
 *
 * The order is that of who knows it best: the configuration, the model that is trained on, a `labels.json` beside the data
 * (a list of names, as the O-LoRA benchmark has it), or the data itself, sorted as Hugging Face's examples sort them.
 */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ConfigError, DataError, listed } from "../../errors.ts";
import { asDataError } from "./readers/bytes.ts";
import { parseJson } from "./readers/json-text.ts";

export interface ClassSet {
  /** In the order of their indices; at least 2. */
  readonly names: readonly string[];
  /** Where they are from, for a person. */
  readonly why: string;
}

/** What is known of the classes before the data is read. */
export interface ClassWishes {
  /** Names in order; `labels`. */
  readonly labels?: readonly string[];
  /** `num_labels` */
  readonly numLabels?: number;
  /** Those of the model or the adapter that is trained on. */
  readonly known?: ClassSet;
}

export const LABELS_FILE = "labels.json";

/** Labels that a message names. */
const SHOWN = 8;
/** With so many rows, labels that hardly ever come twice are no classes. */
const ENOUGH_ROWS = 50;

/** The name of a class that has none, as transformers gives it. */
export function numberedLabel(index: number): string {
  return `LABEL_${index}`;
}

/**
 * A label as text: names, whole numbers and true or false. Undefined for anything else, for nothing, and for numbers below
 * 0, which say in data sets of the hub that nobody knows the class.
 */
export function labelText(value: unknown): string | undefined {
  if (typeof value === "number" && !Number.isSafeInteger(value)) return undefined;
  if (!["string", "number", "bigint", "boolean"].includes(typeof value)) return undefined;
  const text = String(value).trim();
  return text === "" || /^-\d+$/.test(text) ? undefined : text;
}

/** The index of a label: by its name, or, where no name is a number, by its number. Undefined: it is none of the classes. */
export function classOf(label: string, { names }: Pick<ClassSet, "names">): number | undefined {
  const at = names.indexOf(label);
  if (at >= 0) return at;
  const capital = label === "true" ? names.indexOf("True") : label === "false" ? names.indexOf("False") : -1;
  if (capital >= 0) return capital;
  if (!isNumber(label) || names.some(isNumber)) return undefined;
  const index = Number(label);
  return index < names.length ? index : undefined;
}

/** A few names, for a message. */
export function namedClasses(names: readonly string[]): string {
  const some = names.slice(0, SHOWN).map((name) => JSON.stringify(name));
  return names.length > SHOWN ? `${some.join(", ")} and ${names.length - SHOWN} more` : some.join(", ");
}

/**
 * @param files data files to train on: a `labels.json` may lie beside each
 * @param count the labels of the data with their numbers, where they have to be looked at
 * @throws ConfigError when the wishes contradict each other, DataError when the data has no classes
 */
export async function chooseClasses(
  { labels, numLabels, known }: ClassWishes,
  files: readonly string[],
  count: () => Promise<ReadonlyMap<string, number>>,
): Promise<ClassSet> {
  if (labels !== undefined) return checked({ names: labels, why: "labels" }, numLabels);
  if (known !== undefined) return checked(known, numLabels);
  const written = await labelFiles(files);
  if (written !== undefined) return checked(written, numLabels);
  return fromData(await count(), numLabels);
}

function checked(classes: ClassSet, numLabels: number | undefined): ClassSet {
  const { names, why } = classes;
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw new ConfigError({ where: why, what: "a label is there twice", got: twice });
  if (names.length < 2) {
    throw new ConfigError({ where: why, what: "a classifier needs two classes at least", got: namedClasses(names) });
  }
  if (numLabels !== undefined && numLabels !== names.length) {
    throw new ConfigError({
      where: "num_labels",
      what: `is not the number of labels (${why})`,
      got: numLabels,
      expected: `${names.length}: ${namedClasses(names)}`,
      hint: "remove num_labels, or name all classes: labels: NAME,NAME",
    });
  }
  return classes;
}

/** The names of all `labels.json` files, in the order in which they come. */
async function labelFiles(files: readonly string[]): Promise<ClassSet | undefined> {
  const found: string[] = [];
  const names: string[] = [];
  for (const dir of new Set(files.map((file) => dirname(file)))) {
    const path = join(dir, LABELS_FILE);
    const list = await readLabels(path);
    if (list === undefined) continue;
    found.push(path);
    names.push(...list.filter((name) => !names.includes(name)));
  }
  return found.length === 0 ? undefined : { names, why: found.join(", ") };
}

/** The names in a `labels.json`; undefined when there is none. @throws DataError when it is no list of names */
export async function readLabels(path: string): Promise<string[] | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw asDataError(error, path);
  }
  const hint = 'it is a list of names: ["negative", "positive"]';
  const names = parseJson(text.replace(/^\uFEFF/, ""), path, 1, hint);
  const isNames = Array.isArray(names) && names.every((name) => labelText(name) !== undefined);
  if (!isNames) throw new DataError({ where: path, what: "not a list of labels", hint });
  return (names as unknown[]).map((name) => labelText(name)!);
}

/**
 * Numbers from 0 on are indices, and their classes have transformers' names for those; anything else is sorted: numbers by
 * size, names as text.
 */
function fromData(counts: ReadonlyMap<string, number>, numLabels: number | undefined): ClassSet {
  const found = [...counts.keys()];
  const rows = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const numbers = found.every(isNumber);
  const largest = numbers ? Math.max(...found.map(Number)) : NaN;
  const size = numLabels ?? found.length;
  const isIndices = numbers && (numLabels === undefined ? largest === found.length - 1 : largest < numLabels);
  if (found.length > 0 && isIndices && size >= 2) {
    return { names: Array.from({ length: size }, (_, i) => numberedLabel(i)), why: "numbers in the data" };
  }
  if (found.length < 2) {
    throw new DataError({
      where: "labels",
      what: found.length === 0 ? "no record has a label" : "all records have one and the same label",
      got: found.length === 0 ? undefined : namedClasses(found),
      hint: "label_column_name says which column has the classes; labels: NAME,NAME names those that there are",
    });
  }
  if (rows >= ENOUGH_ROWS && found.length * 2 > rows) {
    throw new DataError({
      where: "labels",
      what: `${found.length} different labels in ${rows} records are no classes`,
      got: namedClasses(found),
      hint: "label_column_name says which column has the classes",
    });
  }
  const names = found.toSorted(numbers ? (a, b) => Number(a) - Number(b) : (a, b) => (a < b ? -1 : 1));
  if (numLabels !== undefined && numLabels !== names.length) {
    throw new DataError({
      where: "num_labels",
      what: "the data has another number of labels",
      got: `${names.length}: ${namedClasses(names)}`,
      expected: numLabels,
      hint: `name all classes in their order: labels: ${listed(names.slice(0, 3))},…`,
    });
  }
  return { names, why: "from the data, sorted" };
}

function isNumber(name: string): boolean {
  return /^\d+$/.test(name);
}
