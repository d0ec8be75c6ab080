/** The classes of a classifier: how many there are, what they are called, and where `config.json` says so. */
import { ConfigError } from "../errors.ts";
import type { ModelConfigFile } from "../formats/model/config.ts";
import type { JsonValue } from "../formats/peft/json-object.ts";

export interface ClassSettings {
  /** Number of classes. Default: that of `labels`, or as `config.json` says. */
  readonly numLabels?: number;
  /** Names of the classes, in their order. Default: those of `config.json`, or `LABEL_0`, … */
  readonly labels?: readonly string[];
}

/**
 * Names of the classes, in their order. As in transformers there are two where nothing is said.
 * @throws ConfigError if the settings do not agree, or the model is for something else than one class for each text
 */
export function classNames(config: ModelConfigFile, { numLabels, labels }: ClassSettings = {}): readonly string[] {
  const { fields, path } = config;
  const type = fields["problem_type"] ?? "single_label_classification";
  if (type !== "single_label_classification") {
    throw new ConfigError({
      where: path,
      what: "problem_type: only one class for each text is supported",
      got: typeof type === "string" ? type : JSON.stringify(type),
      expected: "single_label_classification",
    });
  }
  const written = namesOf(fields["id2label"], path) ?? countedNames(fields["num_labels"]) ?? unnamed(2);
  const chosen = labels ?? (numLabels === undefined || numLabels === written.length ? written : unnamed(numLabels));
  if (numLabels !== undefined && labels !== undefined && numLabels !== labels.length) {
    throw new ConfigError({
      where: "labels",
      what: "there is one name for each class",
      got: `${labels.length} names`,
      expected: `numLabels, ${numLabels}`,
    });
  }
  const twice = chosen.find((name, i) => chosen.indexOf(name) < i);
  if (twice !== undefined) throw new ConfigError({ where: "labels", what: "two classes have one name", got: twice });
  if (!(chosen.length >= 2)) {
    throw new ConfigError({
      where: numLabels === undefined && labels === undefined ? path : "numLabels",
      what: "a classifier has two classes or more",
      got: numLabels ?? chosen.length,
      hint: "one output is a regression in transformers, which is not supported",
    });
  }
  return chosen;
}

/** What `config.json` says of the classes. */
export function classFields(names: readonly string[]): Readonly<Record<string, JsonValue>> {
  return {
    id2label: Object.fromEntries(names.map((name, i) => [String(i), name])),
    label2id: Object.fromEntries(names.map((name, i) => [name, i])),
  };
}

/** @returns undefined where nothing is said */
function namesOf(id2label: JsonValue | undefined, where: string): readonly string[] | undefined {
  if (id2label === undefined || id2label === null) return undefined;
  const names = Object.keys(id2label).map((_, i) => (id2label as Readonly<Record<string, JsonValue>>)[String(i)]);
  if (typeof id2label === "object" && names.every((name) => typeof name === "string")) return names;
  throw new ConfigError({
    where,
    what: "id2label: not a name for each class",
    got: JSON.stringify(id2label),
    expected: '{"0": "name of the first class", "1": …}',
  });
}

function countedNames(count: JsonValue | undefined): readonly string[] | undefined {
  return typeof count === "number" && Number.isInteger(count) && count > 0 ? unnamed(count) : undefined;
}

/** As transformers calls them. */
function unnamed(count: number): readonly string[] {
  return Array.from({ length: Number.isInteger(count) && count > 0 ? count : 0 }, (_, i) => `LABEL_${i}`);
}
