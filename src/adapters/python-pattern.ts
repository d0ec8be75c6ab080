/**
 * Python's regular expressions on the names of modules: PEFT's patterns are written in them, and some mean something else,
 * or nothing, to JavaScript.
 *
 * Matching follows all ways at once, position by position, and not one after the other: a stranger's pattern takes a time
 * that is bounded by its length and the cube of the name's. For that, patterns that have to remember what they matched
 * (back-references, conditions, atomic groups) are refused. Whether a pattern matches does not depend on greed.
 */
import { ConfigError } from "../errors.ts";

export interface PythonPattern {
  /** `re.fullmatch` */
  matchesWhole(text: string): boolean;
  /** `re.match`: the text begins with what the pattern means. */
  matchesStart(text: string): boolean;
}

/** Whatever real patterns need. Longer ones are a stranger's. */
const MAX_LENGTH = 10_000;
/** Nested groups. */
const MAX_DEPTH = 100;

type Node =
  | { readonly kind: "character"; readonly test: (character: string) => boolean }
  | { readonly kind: "sequence"; readonly items: readonly Node[] }
  | { readonly kind: "choice"; readonly options: readonly Node[] }
  | { readonly kind: "repeat"; readonly body: Node; readonly min: number; readonly max: number }
  | { readonly kind: "look"; readonly body: Node; readonly ahead: boolean; readonly wanted: boolean }
  | { readonly kind: "assert"; readonly holds: (text: string, at: number) => boolean };

/**
 * @param where what the pattern is, for the message: `target_modules`
 * @throws ConfigError if it is not one of Python's regular expressions, or needs something that is not supported
 */
export function pythonPattern(pattern: string, where: string): PythonPattern {
  const node = new Parser(pattern, where).parse();
  const endsIn = (text: string) => new Run(text).ends(node, 0);
  return {
    matchesWhole: (text) => endsIn(text).includes(text.length),
    matchesStart: (text) => endsIn(text).length > 0,
  };
}

/** Where a node can end on one text, by where it starts. */
class Run {
  readonly #text: string;
  readonly #known = new Map<Node, (readonly number[] | undefined)[]>();

  constructor(text: string) {
    this.#text = text;
  }

  ends(node: Node, start: number): readonly number[] {
    let known = this.#known.get(node);
    if (known === undefined) this.#known.set(node, (known = []));
    return (known[start] ??= this.#find(node, start));
  }

  #find(node: Node, start: number): readonly number[] {
    const text = this.#text;
    switch (node.kind) {
      case "character":
        return start < text.length && node.test(text[start]!) ? [start + 1] : [];
      case "sequence":
        return node.items.reduce<readonly number[]>((starts, item) => this.#all(item, starts), [start]);
      case "choice":
        return unique(node.options.flatMap((option) => [...this.ends(option, start)]));
      case "repeat":
        return this.#repeated(node.body, node.min, node.max, start);
      case "look":
        return this.#sees(node.body, node.ahead, start) === node.wanted ? [start] : [];
      case "assert":
        return node.holds(text, start) ? [start] : [];
    }
  }

  #all(node: Node, starts: readonly number[]): readonly number[] {
    return unique(starts.flatMap((start) => [...this.ends(node, start)]));
  }

  #repeated(body: Node, min: number, max: number, start: number): readonly number[] {
    // From so many repetitions on, more of them lead nowhere new: each moves on, or is empty.
    const enough = this.#text.length + 1;
    let reached: readonly number[] = [start];
    for (let i = 0; i < Math.min(min, enough); i++) reached = this.#all(body, reached);
    const ends = new Set(reached);
    for (let i = min; i < Math.min(max, min + enough) && reached.length > 0; i++) {
      reached = this.#all(body, reached).filter((at) => !ends.has(at));
      for (const at of reached) ends.add(at);
    }
    return [...ends];
  }

  #sees(body: Node, ahead: boolean, at: number): boolean {
    if (ahead) return this.ends(body, at).length > 0;
    return Array.from({ length: at + 1 }, (_, start) => start).some((start) => this.ends(body, start).includes(at));
  }
}

function unique(positions: readonly number[]): readonly number[] {
  return positions.length < 2 ? positions : [...new Set(positions)];
}

const IS_DIGIT = /\p{Nd}/u;
const IS_SPACE = /\s/u;
const IS_WORD = /[\p{L}\p{N}_]/u;

const CLASSES: Readonly<Record<string, (character: string) => boolean>> = {
  d: (c) => IS_DIGIT.test(c),
  D: (c) => !IS_DIGIT.test(c),
  s: (c) => IS_SPACE.test(c),
  S: (c) => !IS_SPACE.test(c),
  w: (c) => IS_WORD.test(c),
  W: (c) => !IS_WORD.test(c),
};

const CONTROLS: Readonly<Record<string, string>> = {
  a: "\x07",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "0": "\0",
};

const atWordEdge = (text: string, at: number) => isWordAt(text, at - 1) !== isWordAt(text, at);
const isWordAt = (text: string, at: number) => at >= 0 && at < text.length && IS_WORD.test(text[at]!);

const ASSERTIONS: Readonly<Record<string, (text: string, at: number) => boolean>> = {
  A: (_text, at) => at === 0,
  Z: (text, at) => at === text.length,
  z: (text, at) => at === text.length,
  b: atWordEdge,
  B: (text, at) => !atWordEdge(text, at),
};

const START: Node = { kind: "assert", holds: (_text, at) => at === 0 };
/** Python's `$` stands before a newline at the end, too. */
const END: Node = {
  kind: "assert",
  holds: (text, at) => at === text.length || (at === text.length - 1 && text[at] === "\n"),
};

class Parser {
  readonly #pattern: string;
  readonly #where: string;
  #at = 0;
  #depth = 0;
  #ignoreCase = false;
  #dotAll = false;

  constructor(pattern: string, where: string) {
    this.#pattern = pattern;
    this.#where = where;
  }

  parse(): Node {
    if (this.#pattern.length > MAX_LENGTH) throw this.#error(`longer than ${MAX_LENGTH} characters`);
    const flags = /^\(\?([a-zA-Z]+)\)/.exec(this.#pattern);
    if (flags !== null) {
      this.#setFlags(flags[1]!);
      this.#at = flags[0].length;
    }
    const node = this.#choice();
    if (this.#at < this.#pattern.length) throw this.#error("a ) without its (");
    return node;
  }

  #choice(): Node {
    if (++this.#depth > MAX_DEPTH) throw this.#error(`groups nested more than ${MAX_DEPTH} deep`);
    const options = [this.#sequence()];
    while (this.#take("|")) options.push(this.#sequence());
    this.#depth--;
    return options.length === 1 ? options[0]! : { kind: "choice", options };
  }

  #sequence(): Node {
    const items: Node[] = [];
    while (this.#at < this.#pattern.length && !"|)".includes(this.#pattern[this.#at]!)) {
      const item = this.#item();
      if (item !== undefined) items.push(this.#quantified(item));
    }
    return { kind: "sequence", items };
  }

  /** One element, without its quantifier; undefined for a comment. */
  #item(): Node | undefined {
    const character = this.#pattern[this.#at++]!;
    switch (character) {
      case "(":
        return this.#group();
      case "[":
        return this.#set();
      case "\\":
        return this.#escape();
      case ".":
        return { kind: "character", test: this.#dotAll ? () => true : (c) => c !== "\n" };
      case "^":
        return START;
      case "$":
        return END;
      case "*":
      case "+":
      case "?":
        throw this.#error(`nothing to repeat before ${character}`);
      default:
        return this.#literal(character);
    }
  }

  #quantified(body: Node): Node {
    const range = this.#quantifier();
    if (range === undefined) return body;
    const [min, max] = range;
    if (this.#take("+")) throw this.#unsupported("a possessive quantifier");
    this.#take("?");
    if (this.#quantifier() !== undefined) throw this.#error("a quantifier after a quantifier");
    return { kind: "repeat", body, min, max };
  }

  #quantifier(): readonly [number, number] | undefined {
    if (this.#take("*")) return [0, Infinity];
    if (this.#take("+")) return [1, Infinity];
    if (this.#take("?")) return [0, 1];
    const counted = /^\{(\d*)(,?)(\d*)\}/.exec(this.#pattern.slice(this.#at, this.#at + 40));
    // Other braces are characters.
    if (counted === null || counted[0] === "{}" || counted[0] === "{,}") return undefined;
    this.#at += counted[0].length;
    const min = Number(counted[1]);
    const max = counted[2] === "" ? min : counted[3] === "" ? Infinity : Number(counted[3]);
    if (max < min) throw this.#error(`${counted[0]}: the least is more than the most`);
    return [min, max];
  }

  /** After `(`. */
  #group(): Node | undefined {
    if (!this.#take("?")) return this.#closed(this.#choice());
    if (this.#take("#")) {
      const end = this.#pattern.indexOf(")", this.#at);
      if (end < 0) throw this.#error("a ( without its )");
      this.#at = end + 1;
      return undefined;
    }
    if (this.#take(":")) return this.#closed(this.#choice());
    if (this.#take("=")) return this.#look(true, true);
    if (this.#take("!")) return this.#look(true, false);
    if (this.#take("<=")) return this.#look(false, true);
    if (this.#take("<!")) return this.#look(false, false);
    const name = /^P<([A-Za-z_]\w*)>/.exec(this.#pattern.slice(this.#at));
    if (name !== null) {
      this.#at += name[0].length;
      return this.#closed(this.#choice());
    }
    const flags = /^([aiLmsux]*)(?:-([imsx]+))?:/.exec(this.#pattern.slice(this.#at, this.#at + 20));
    if (flags !== null) {
      const [ignoreCase, dotAll] = [this.#ignoreCase, this.#dotAll];
      this.#at += flags[0].length;
      this.#setFlags(flags[1]!);
      if (flags[2]?.includes("i") === true) this.#ignoreCase = false;
      if (flags[2]?.includes("s") === true) this.#dotAll = false;
      const body = this.#closed(this.#choice());
      [this.#ignoreCase, this.#dotAll] = [ignoreCase, dotAll];
      return body;
    }
    if (this.#pattern.startsWith("P=", this.#at)) throw this.#unsupported("a back-reference");
    if (this.#pattern.startsWith(">", this.#at)) throw this.#unsupported("an atomic group");
    if (this.#pattern.startsWith("(", this.#at)) throw this.#unsupported("a condition");
    throw this.#error(`no such group: (?${this.#pattern.slice(this.#at, this.#at + 3)}`);
  }

  #look(ahead: boolean, wanted: boolean): Node {
    return { kind: "look", body: this.#closed(this.#choice()), ahead, wanted };
  }

  #closed(node: Node): Node {
    if (!this.#take(")")) throw this.#error("a ( without its )");
    return node;
  }

  /** After `[`. */
  #set(): Node {
    const negated = this.#take("^");
    const tests: ((character: string) => boolean)[] = [];
    // A ] that comes first is a character.
    for (let first = true; first || this.#pattern[this.#at] !== "]"; first = false) {
      if (this.#at >= this.#pattern.length) throw this.#error("a [ without its ]");
      const from = this.#setElement();
      const isRange = this.#pattern[this.#at] === "-" && (this.#pattern[this.#at + 1] ?? "]") !== "]";
      if (!isRange) {
        tests.push(typeof from === "string" ? this.#same(from) : from);
        continue;
      }
      this.#at++;
      const to = this.#setElement();
      if (typeof from !== "string" || typeof to !== "string" || from > to)
        throw this.#error("not a range of characters");
      tests.push(this.#within(from, to));
    }
    this.#at++;
    return { kind: "character", test: (c) => tests.some((test) => test(c)) !== negated };
  }

  #setElement(): string | ((character: string) => boolean) {
    const character = this.#pattern[this.#at++]!;
    if (character !== "\\") return character;
    const escaped = this.#next();
    return CLASSES[escaped] ?? (escaped === "b" ? "\b" : this.#escapedCharacter(escaped));
  }

  /** After a backslash outside a set. */
  #escape(): Node {
    const escaped = this.#next();
    const holds = ASSERTIONS[escaped];
    if (holds !== undefined) return { kind: "assert", holds };
    const test = CLASSES[escaped];
    if (test !== undefined) return { kind: "character", test };
    return this.#literal(this.#escapedCharacter(escaped));
  }

  #escapedCharacter(escaped: string): string {
    const digits = { x: 2, u: 4 }[escaped];
    if (digits !== undefined) {
      const code = this.#pattern.slice(this.#at, this.#at + digits);
      if (!new RegExp(`^[0-9a-fA-F]{${digits}}$`).test(code)) throw this.#error(`\\${escaped} needs ${digits} digits`);
      this.#at += digits;
      return String.fromCharCode(Number.parseInt(code, 16));
    }
    if (/[1-9]/.test(escaped)) throw this.#unsupported("a back-reference");
    const control = CONTROLS[escaped];
    if (control !== undefined) return control;
    if (/[A-Za-z]/.test(escaped)) throw this.#error(`no such escape: \\${escaped}`);
    return escaped;
  }

  #next(): string {
    const character = this.#pattern[this.#at++];
    if (character === undefined) throw this.#error("a backslash at the end");
    return character;
  }

  #literal(character: string): Node {
    return { kind: "character", test: this.#same(character) };
  }

  #same(character: string): (other: string) => boolean {
    if (!this.#ignoreCase) return (other) => other === character;
    const lower = character.toLowerCase();
    return (other) => other.toLowerCase() === lower;
  }

  #within(from: string, to: string): (character: string) => boolean {
    const inRange = (c: string) => c >= from && c <= to;
    return this.#ignoreCase ? (c) => inRange(c.toLowerCase()) || inRange(c.toUpperCase()) : inRange;
  }

  #setFlags(flags: string): void {
    if (flags.includes("x")) throw this.#unsupported("the flag x");
    if (flags.includes("i")) this.#ignoreCase = true;
    if (flags.includes("s")) this.#dotAll = true;
    const unknown = /[^aiLmsu]/.exec(flags);
    if (unknown !== null) throw this.#error(`no such flag: ${unknown[0]}`);
  }

  #take(text: string): boolean {
    if (!this.#pattern.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #error(what: string): ConfigError {
    return new ConfigError({
      where: this.#where,
      what: `not a regular expression: ${what}`,
      got: shortened(this.#pattern),
      hint: "for names of layers, give a list of them",
    });
  }

  #unsupported(what: string): ConfigError {
    return new ConfigError({
      where: this.#where,
      what: `${what} is not supported in a pattern`,
      got: shortened(this.#pattern),
      hint: "give a list of names of layers, or a pattern without it",
    });
  }
}

function shortened(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
