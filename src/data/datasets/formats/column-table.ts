/** The columns of the first records of a data set: what is known when its format is guessed. */
import { field } from "../readers/reader.ts";
import type { JsonRecord } from "../readers/reader.ts";
import { asList, kindOf } from "./format.ts";

export class ColumnTable {
  /** In the order in which the records have them. */
  readonly names: readonly string[];
  readonly #records: readonly JsonRecord[];

  constructor(records: readonly JsonRecord[]) {
    this.#records = records;
    this.names = [...new Set(records.flatMap((record) => Object.keys(record)))];
  }

  has(name: string): boolean {
    return this.names.includes(name);
  }

  /** The values that are not null. */
  values(name: string): unknown[] {
    return this.#records.map((record) => field(record, name)).filter((value) => (value ?? null) !== null);
  }

  /** Whether most of the values are text, so that one wrong record does not hide what the others are. */
  isText(name: string): boolean {
    return this.#mostly(name, (value) => typeof value === "string" && messageLike(value) === undefined);
  }

  isBoolean(name: string): boolean {
    return this.#mostly(name, (value) => typeof value === "boolean");
  }

  /** Whether most of the values are lists of objects with these keys. */
  isListOf(name: string, keys: readonly string[]): boolean {
    return this.#mostly(name, (value) => {
      const first = messageLike(value);
      return first !== undefined && keys.every((key) => Object.hasOwn(first, key));
    });
  }

  /** Names of columns that a mapping does not read. */
  unused(used: readonly (string | undefined)[]): string[] {
    return this.names.filter((name) => !used.includes(name));
  }

  /** Each column with the kinds of its values, for a message. */
  describe(): string {
    const described = this.names.slice(0, 20).map((name) => {
      const kinds = new Set(this.values(name).map(kindOf));
      return `"${name}" (${kinds.size === 0 ? "always empty" : [...kinds].join(" or ")})`;
    });
    const more = this.names.length - described.length;
    return more > 0 ? `${described.join(", ")} and ${more} more` : described.join(", ");
  }

  #mostly(name: string, is: (value: unknown) => boolean): boolean {
    const values = this.values(name);
    return values.filter(is).length * 2 > values.length;
  }
}

/** The first item of a list of objects. */
function messageLike(value: unknown): object | undefined {
  const first = asList(value)?.[0];
  return typeof first === "object" && first !== null ? first : undefined;
}
