/** LLaMA-Factory's `dataset_info.json`: names of data sets, where they are, and what their columns mean. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, DataError, listed } from "../../errors.ts";
import { nearest } from "../../nearest.ts";
import type { Columns, Mapping } from "./formats/format.ts";
import { alpaca } from "./formats/alpaca.ts";
import { classification } from "./formats/classification.ts";
import { openai } from "./formats/openai.ts";
import { sharegpt } from "./formats/sharegpt.ts";
import { OPENAI_TAGS, SHAREGPT_TAGS, withTags } from "./formats/tags.ts";
import { ktoError, mediaError, preferenceError } from "./formats/unsupported.ts";
import { asDataError } from "./readers/bytes.ts";
import { parseJson } from "./readers/json-text.ts";
import { field, isObject } from "./readers/reader.ts";
import type { JsonRecord } from "./readers/reader.ts";

export const DATASET_INFO = "dataset_info.json";

/** One data set of the file, checked. */
export interface DatasetEntry {
  readonly name: string;
  readonly location: { readonly file: string } | { readonly hub: string; readonly revision?: string };
  /** Undefined where the entry says neither `formatting` nor `columns`: the format is then detected. */
  readonly mapping?: Mapping;
  readonly subset?: string;
  /** Default "train". */
  readonly split: string;
  readonly folder?: string;
  /** So many records, drawn at random; more than there are repeats some. */
  readonly numSamples?: number;
}

const FORMATTINGS = { alpaca, sharegpt, openai, classification } as const;
const CLASS_COLUMN_KEYS = ["text", "text_pair", "label"] as const;
const COLUMN_KEYS = [
  ...(["prompt", "query", "response", "history", "messages", "system", "tools"] as const),
  ...CLASS_COLUMN_KEYS,
] as const;
const REFUSED_COLUMN_KEYS = ["images", "videos", "audios", "chosen", "rejected", "kto_tag"] as const;
const TAG_KEYS = "role_tag content_tag user_tag assistant_tag observation_tag function_tag system_tag".split(" ");
/** Places that are not read. */
const REFUSED_LOCATIONS: Readonly<Record<string, string>> = {
  ms_hub_url: "ModelScope is not read: give hf_hub_url, or download it and give file_name",
  om_hub_url: "the Modelers hub is not read: give hf_hub_url, or download it and give file_name",
  script_url: "a loading script is Python, which is not run: save what it gives as JSON lines and give file_name",
  cloud_file_name: "cloud storage is not read: download the file and give file_name",
};
const ENTRY_KEYS = [
  "file_name",
  "hf_hub_url",
  ...Object.keys(REFUSED_LOCATIONS),
  ..."formatting ranking subset split folder num_samples revision columns tags".split(" "),
  // A checksum that old versions of the format had.
  "file_sha1",
];

/** The entries of a `dataset_info.json`. Only those that are asked for are checked. */
export class DatasetInfo {
  readonly path: string;
  readonly #dir: string;
  readonly #entries: JsonRecord;

  private constructor(dir: string, path: string, entries: JsonRecord) {
    this.#dir = dir;
    this.path = path;
    this.#entries = entries;
  }

  /**
   * @param dir the folder that it is in
   * @returns undefined when there is none
   * @throws DataError when it cannot be read or is not a JSON object
   */
  static async in(dir: string): Promise<DatasetInfo | undefined> {
    const path = join(dir, DATASET_INFO);
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") return undefined;
      throw asDataError(error, path);
    }
    const hint = 'it is one object: {"NAME": {"file_name": "NAME.json"}, …}';
    const parsed = parseJson(text.replace(/^\uFEFF/, ""), path, 1, hint);
    if (!isObject(parsed)) throw new DataError({ where: path, what: "not an object", hint });
    return new DatasetInfo(dir, path, parsed);
  }

  get names(): string[] {
    return Object.keys(this.#entries);
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#entries, name);
  }

  /**
   * @throws ConfigError naming every key of the entry that is wrong
   * @throws DataError when the entry is of data that is not supported
   */
  entry(name: string): DatasetEntry {
    const where = `${this.path}: "${name}"`;
    const raw = field(this.#entries, name);
    if (!isObject(raw)) throw new ConfigError({ where, what: "not an object", got: raw });
    const problems: string[] = [];
    checkKeys(raw, ENTRY_KEYS, "", problems);
    const strings = new Fields(raw, "", problems);
    const columns = strings.inner("columns", [...COLUMN_KEYS, ...REFUSED_COLUMN_KEYS]);
    const tags = strings.inner("tags", TAG_KEYS);
    const hasClasses = CLASS_COLUMN_KEYS.some((key) => columns?.[key] !== undefined);
    const formatting = strings.text("formatting") ?? (hasClasses ? "classification" : "alpaca");
    if (!Object.hasOwn(FORMATTINGS, formatting)) {
      problems.push(`formatting is "${formatting}", not one of ${Object.keys(FORMATTINGS).join(", ")}`);
    }
    const numSamples = field(raw, "num_samples") ?? undefined;
    if (numSamples !== undefined && !(Number.isInteger(numSamples) && (numSamples as number) > 0)) {
      problems.push(`num_samples is ${JSON.stringify(numSamples)}, not a positive whole number`);
    }
    const [subset, split, folder] = ["subset", "split", "folder"].map((key) => strings.text(key));
    if (split !== undefined && /[[\]:%+]/.test(split)) {
      problems.push(`split is "${split}": parts of a split are not read; use num_samples or max_samples`);
    }
    if (problems.length > 0) throw new ConfigError({ where, what: listed(problems) });
    refuse(raw, columns ?? {}, `dataset ${name}`);
    const location = this.#location(strings, where);
    const isMapped = columns !== undefined || strings.text("formatting") !== undefined || tags !== undefined;
    return {
      name,
      location,
      ...(isMapped && { mapping: mappingOf(formatting as keyof typeof FORMATTINGS, columns, tags ?? {}) }),
      ...(subset !== undefined && { subset }),
      split: split ?? "train",
      ...(folder !== undefined && { folder }),
      ...(numSamples !== undefined && { numSamples: numSamples as number }),
    };
  }

  #location(fields: Fields, where: string): DatasetEntry["location"] {
    const [hub, file, revision] = ["hf_hub_url", "file_name", "revision"].map((key) => fields.text(key));
    if (hub !== undefined) return { hub, ...(revision !== undefined && { revision }) };
    for (const [key, hint] of Object.entries(REFUSED_LOCATIONS)) {
      const got = fields.text(key);
      if (got !== undefined) throw new ConfigError({ where, what: `${key} is not supported`, got, hint });
    }
    if (file !== undefined) return { file: join(this.#dir, file) };
    throw new ConfigError({
      where,
      what: "the entry does not say where the data is",
      expected: "file_name or hf_hub_url",
    });
  }
}

/** String fields of an object; what is no string is a problem. */
class Fields {
  readonly #raw: JsonRecord;
  readonly #prefix: string;
  readonly #problems: string[];

  constructor(raw: JsonRecord, prefix: string, problems: string[]) {
    this.#raw = raw;
    this.#prefix = prefix;
    this.#problems = problems;
  }

  /** Null is absent. */
  text(key: string): string | undefined {
    const value = field(this.#raw, key) ?? undefined;
    if (value === undefined || typeof value === "string") return value;
    this.#problems.push(`${this.#prefix}${key} is ${JSON.stringify(value)}, not text`);
    return undefined;
  }

  inner(key: string, known: readonly string[]): Record<string, string> | undefined {
    const value = field(this.#raw, key) ?? undefined;
    if (value === undefined) return undefined;
    if (!isObject(value)) {
      this.#problems.push(`${this.#prefix}${key} is ${JSON.stringify(value)}, not an object`);
      return undefined;
    }
    checkKeys(value, known, `${key}.`, this.#problems);
    const fields = new Fields(value, `${key}.`, this.#problems);
    const texts = known.map((name) => [name, fields.text(name)] as const);
    return Object.fromEntries(texts.filter((pair): pair is [string, string] => pair[1] !== undefined));
  }
}

function checkKeys(raw: JsonRecord, known: readonly string[], prefix: string, problems: string[]): void {
  for (const key of Object.keys(raw)) {
    if (!known.includes(key)) problems.push(`${prefix}${key} is not a key; did you mean "${nearest(key, known)}"?`);
  }
}

/** Where an entry gives columns, those that it does not name are not read, as LLaMA-Factory has it. */
function mappingOf(
  formatting: keyof typeof FORMATTINGS,
  columns: Readonly<Record<string, string>> | undefined,
  tags: Readonly<Record<string, string>>,
): Mapping {
  const format = FORMATTINGS[formatting];
  const defaults: Columns =
    formatting === "alpaca"
      ? { prompt: "instruction", query: "input", response: "output" }
      : formatting === "classification"
        ? {}
        : { messages: formatting === "openai" ? "messages" : "conversations" };
  const isConversation = formatting === "sharegpt" || formatting === "openai";
  const given: Columns = columns ?? defaults;
  return {
    format,
    columns: isConversation && given.messages === undefined ? { ...defaults, ...given } : given,
    tags: withTags(formatting === "openai" ? OPENAI_TAGS : SHAREGPT_TAGS, tags),
  };
}

function refuse(raw: JsonRecord, columns: Readonly<Record<string, string>>, where: string): void {
  if (field(raw, "ranking") === true) throw preferenceError(where, "ranking: true");
  for (const key of REFUSED_COLUMN_KEYS) {
    if (columns[key] === undefined) continue;
    const got = `columns.${key}: ${columns[key]}`;
    if (key === "kto_tag") throw ktoError(where, got);
    throw key === "chosen" || key === "rejected" ? preferenceError(where, got) : mediaError(where, got);
  }
}
