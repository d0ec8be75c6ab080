/**
 * JSON files that a stranger wrote: one object, of a bounded size, whose fields are asked for by name and type. What is
 * wrong is collected, so that a message can name all of it.
 */
import { readFile, stat } from "node:fs/promises";
import { FormatError } from "../../errors.ts";
import type { JsonValue } from "../../adapters/settings.ts";
import { asFormatError } from "../safetensors/source.ts";
import { quote, StrictJson } from "../safetensors/strict-json.ts";

/** Real configurations have some kilobytes; AdaLoRA's patterns of a large model have some megabytes. */
const MAX_BYTES = 16 * 2 ** 20;

export type { JsonValue };

/** The fields of an object, and what has been found wrong with them. */
export class JsonObject {
  readonly path: string;
  readonly problems: string[] = [];
  readonly #fields: ReadonlyMap<string, JsonValue>;
  readonly #asked = new Set<string>();

  constructor(path: string, fields: ReadonlyMap<string, JsonValue>) {
    this.path = path;
    this.#fields = fields;
  }

  /** The value of a field; undefined where it is absent. */
  get(key: string): JsonValue | undefined {
    this.#asked.add(key);
    return this.#fields.get(key);
  }

  /** The same, without having asked: the field goes on counting as unknown. */
  peek(key: string): JsonValue | undefined {
    return this.#fields.get(key);
  }

  /** A field that is absent, or null, has no value: undefined. */
  number(key: string): number | undefined {
    return this.#typed(key, "a number", (value) => typeof value === "number");
  }

  boolean(key: string): boolean | undefined {
    return this.#typed(key, "true or false", (value) => typeof value === "boolean");
  }

  string(key: string): string | undefined {
    return this.#typed(key, "a string", (value) => typeof value === "string");
  }

  /** A pattern, or a list of names. */
  names(key: string): string | readonly string[] | undefined {
    const isNames = (value: JsonValue): value is string | readonly string[] =>
      typeof value === "string" || (Array.isArray(value) && value.every((item) => typeof item === "string"));
    return this.#typed(key, "a string or a list of strings", isNames);
  }

  /** An object of numbers. */
  numbers(key: string): Readonly<Record<string, number>> | undefined {
    const isNumbers = (value: JsonValue): value is Readonly<Record<string, number>> =>
      typeof value === "object" &&
      value !== null &&
      !Array.isArray(value) &&
      Object.values(value).every((item) => typeof item === "number");
    return this.#typed(key, "an object of numbers", isNumbers);
  }

  /** A whole number, or a list of them. */
  indices(key: string): number | readonly number[] | undefined {
    const isIndex = (value: JsonValue) => typeof value === "number" && Number.isInteger(value) && value >= 0;
    const isIndices = (value: JsonValue): value is number | readonly number[] =>
      Array.isArray(value) ? value.every(isIndex) : isIndex(value);
    return this.#typed(key, "a number or a list of numbers", isIndices);
  }

  /** Fields that nothing has asked for. */
  unknown(): string[] {
    return [...this.#fields.keys()].filter((key) => !this.#asked.has(key));
  }

  #typed<T extends JsonValue>(key: string, expected: string, is: (value: JsonValue) => value is T): T | undefined {
    const value = this.get(key) ?? null;
    if (value === null) return undefined;
    if (is(value)) return value;
    this.problems.push(`${key} is ${shown(value)}, not ${expected}`);
    return undefined;
  }
}

/** A value as it is shown in a message: cut when a hostile file made it endless. */
export function shown(value: JsonValue): string {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** @throws FormatError if the file cannot be read, is too large, or is not one JSON object without double names */
export async function readJsonObject(path: string): Promise<JsonObject> {
  const text = await readText(path);
  const json = new StrictJson(text, path, "download the file again, or write it anew");
  const names = new Set<string>();
  json.object("the file", (key) => {
    names.add(key);
    json.skip(quote(key));
  });
  json.end();
  // The text has been checked: what is left cannot nest deeply, and has each name once.
  const fields = JSON.parse(text) as Readonly<Record<string, JsonValue>>;
  return new JsonObject(path, new Map([...names].map((name) => [name, fields[name]!])));
}

async function readText(path: string): Promise<string> {
  try {
    const { size } = await regularFile(path);
    if (size > MAX_BYTES) {
      throw new FormatError({ where: path, what: "is too large", got: `${size} bytes`, expected: `<= ${MAX_BYTES}` });
    }
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await readFile(path));
  } catch (error) {
    if (error instanceof TypeError) throw new FormatError({ where: path, what: "is not UTF-8 text", cause: error });
    throw asFormatError(error, path, "cannot be read");
  }
}

/** A pipe or a device would never end. */
async function regularFile(path: string): Promise<{ size: number }> {
  const found = await stat(path);
  if (!found.isFile()) throw new FormatError({ where: path, what: "is not a file" });
  return found;
}
