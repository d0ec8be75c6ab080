/**
 * A reader of JSON text that a stranger wrote: it takes the shape that is asked of it and nothing else.
 *
 * `JSON.parse` keeps the last of two equal keys without a word, rounds large integers, and builds whatever the text
 * says before anybody can object. Here the caller drives ("an object with these keys, a list of whole numbers"), so
 * that memory is bounded by what is accepted, nothing nests deeper than the caller goes, and keys that are equal after
 * unescaping (`"a"` and `"\u0061"`) are found.
 */
import { FormatError } from "../../errors.ts";

/** Nesting that a skipped value may have; real files have two or three levels. */
const MAX_SKIPPED_DEPTH = 32;

const WHITESPACE = /[ \t\r\n]*/y;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
const WHOLE_NUMBER = /^(?:0|[1-9]\d{0,15})$/;
const SURROGATE = /\p{Surrogate}/u;

export class StrictJson {
  readonly #text: string;
  readonly #subject: string;
  readonly #hint: string;
  #at = 0;

  /**
   * @param text the whole text.
   * @param subject what the text is, for messages: `"/models/a.safetensors: header"`.
   * @param hint what a person can do when the text is not as it should be.
   */
  constructor(text: string, subject: string, hint: string) {
    this.#text = text;
    this.#subject = subject;
    this.#hint = hint;
  }

  /**
   * Reads an object; `member` is called for each key, in order, and must read the value.
   *
   * @param about what the object is, for messages.
   * @throws FormatError on anything but an object, and on a key that is there twice.
   */
  object(about: string, member: (key: string) => void): void {
    this.#open("{", about, "an object");
    const seen = new Set<string>();
    this.#items("}", about, () => {
      const key = this.string(`a name in ${about}`);
      if (seen.has(key)) {
        this.fail(`${about} has the name ${quote(key)} twice`, {});
      }
      seen.add(key);
      if (this.#peek() !== ":") this.#malformed(`":" after ${quote(key)}`);
      this.#at++;
      member(key);
    });
  }

  /** Reads a list; `item` is called before each item and must read it. */
  list(about: string, item: (index: number) => void): void {
    this.#open("[", about, "a list");
    let index = 0;
    this.#items("]", about, () => item(index++));
  }

  /** Reads a string; text that is not well-formed Unicode (half of a surrogate pair) is refused. */
  string(about: string): string {
    if (this.#peek() !== '"') this.#unexpected(about, "a string");
    const start = this.#at;
    let end = start;
    do {
      end = this.#text.indexOf('"', end + 1);
      if (end < 0) this.#malformed("a closing quote");
    } while (this.#isEscaped(end, start));
    let value: unknown;
    try {
      value = JSON.parse(this.#text.slice(start, end + 1));
    } catch (cause) {
      this.fail(`is not valid JSON at character ${start}: a string with a bad escape or control character`, { cause });
    }
    this.#at = end + 1;
    if (typeof value !== "string" || SURROGATE.test(value)) {
      this.fail(`${about} is not well-formed Unicode`, { got: JSON.stringify(value) });
    }
    return value;
  }

  /** Reads a whole number from 0 to 2^53 - 1, written as one: `1.0`, `1e3` and `-0` are refused. */
  wholeNumber(about: string): number {
    const start = this.#at;
    const literal = this.#scalar();
    const value = Number(literal);
    if (literal === undefined || !WHOLE_NUMBER.test(literal) || !Number.isSafeInteger(value)) {
      this.#at = start;
      this.#unexpected(about, "a whole number from 0 to 2^53 - 1");
    }
    return value;
  }

  /** Reads past a value of any kind. */
  skip(about: string, depth = 0): void {
    if (depth > MAX_SKIPPED_DEPTH) this.fail(`${about} is nested more than ${MAX_SKIPPED_DEPTH} levels deep`, {});
    const next = this.#peek();
    if (next === "{") this.object(about, () => this.skip(about, depth + 1));
    else if (next === "[") this.list(about, () => this.skip(about, depth + 1));
    else if (next === '"') this.string(about);
    else if (this.#scalar() === undefined) this.#malformed(`a value for ${about}`);
  }

  /** Ends the reading: only whitespace may be left. */
  end(): void {
    if (this.#peek() !== undefined) this.#malformed("nothing more");
  }

  /** Throws about the text as a whole. */
  fail(what: string, details: { got?: unknown; expected?: unknown; hint?: string; cause?: unknown }): never {
    throw new FormatError({ where: this.#subject, what, hint: this.#hint, ...details });
  }

  #open(bracket: string, about: string, kind: string): void {
    if (this.#peek() !== bracket) this.#unexpected(about, kind);
    this.#at++;
  }

  #items(close: string, about: string, item: () => void): void {
    if (this.#peek() === close) {
      this.#at++;
      return;
    }
    for (;;) {
      item();
      const next = this.#peek();
      if (next !== "," && next !== close) this.#malformed(`"," or "${close}" in ${about}`);
      this.#at++;
      if (next === close) return;
    }
  }

  /** The next character that is not whitespace, not taken; undefined at the end. */
  #peek(): string | undefined {
    WHITESPACE.lastIndex = this.#at;
    WHITESPACE.test(this.#text);
    this.#at = WHITESPACE.lastIndex;
    return this.#text[this.#at];
  }

  #scalar(): string | undefined {
    this.#peek();
    SCALAR.lastIndex = this.#at;
    const literal = SCALAR.exec(this.#text)?.[0];
    this.#at += literal?.length ?? 0;
    return literal;
  }

  /** Whether an odd number of backslashes stands before the quote at `at`. */
  #isEscaped(at: number, start: number): boolean {
    let slashes = 0;
    while (at - 1 - slashes > start && this.#text[at - 1 - slashes] === "\\") slashes++;
    return slashes % 2 === 1;
  }

  #unexpected(about: string, expected: string): never {
    if (this.#peek() === undefined) this.#malformed(`${expected} for ${about}`);
    this.fail(`${about} is not ${expected}`, { got: this.#excerpt() });
  }

  #malformed(expected: string): never {
    const got = this.#peek() === undefined ? "the end of the text" : this.#excerpt();
    this.fail(`is not valid JSON at character ${this.#at}`, { got, expected });
  }

  #excerpt(): string {
    const start = this.#at;
    const rest = this.#text.slice(start, start + 24);
    return rest.length < this.#text.length - start ? `${rest}…` : rest;
  }
}

/** A name as it is shown in a message: in quotes, escaped, and cut when a hostile file made it endless. */
export function quote(name: string): string {
  return JSON.stringify(name.length > 120 ? `${name.slice(0, 120)}…` : name);
}
