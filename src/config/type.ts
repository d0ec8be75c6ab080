/**
 * Types of values, as a YAML file gives them.
 *
 * What Python's readers accept is accepted: a number in quotes, `yes`/`no`/`on`/`off` for booleans, an unquoted `no` (which
 * PyYAML makes `false`) where a choice is called "no", `None` for nothing, and a name that looks like a number.
 */

/** A value that was given. */
export interface Given {
  readonly value: unknown;
  /** As the file spells it, where that can matter: the revision `12e4567` is also a number. */
  readonly source?: string;
}

/** Why a value is not accepted, where more can be said than what was expected. */
export class Wrong {
  readonly what: string | undefined;
  readonly hint: string | undefined;

  constructor(what?: string, hint?: string) {
    this.what = what;
    this.hint = hint;
  }
}

export interface Type<T> {
  /** What is accepted, in words. */
  readonly expected: string;
  readonly parse: (given: Given) => T | Wrong;
}

interface Range {
  readonly min?: number;
  readonly max?: number;
  /** The bound itself is not in the range. */
  readonly above?: number;
  readonly below?: number;
}

const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ...["true", "yes", "on", "y", "t", "1"].map((word) => [word, true] as const),
  ...["false", "no", "off", "n", "f", "0"].map((word) => [word, false] as const),
]);

export const bool: Type<boolean> = {
  expected: "true or false",
  parse({ value }) {
    if (typeof value === "boolean") return value;
    const word = typeof value === "string" || typeof value === "number" ? String(value).toLowerCase() : "";
    return BOOLEANS.get(word) ?? new Wrong();
  },
};

export const text: Type<string> = {
  expected: "text",
  parse({ value, source }) {
    if (typeof value === "string") return value.trim() === "" ? new Wrong("is empty") : value;
    return typeof value === "number" || typeof value === "boolean" ? (source ?? String(value)) : new Wrong();
  },
};

export function int(range: Range = {}): Type<number> {
  return numeric(`a whole number${words(range)}`, (value) => Number.isSafeInteger(value) && isIn(value, range));
}

export function float(range: Range = {}): Type<number> {
  return numeric(`a number${words(range)}`, (value) => isIn(value, range));
}

/** A count, or a part of a whole: of a run's steps, of a data set's samples. */
export function countOrShare(whole: string, least: 0 | 1): Type<number> {
  return numeric(
    `a whole number >= ${least}, or a share of ${whole} between 0 and 1`,
    (value) => (value > 0 && value < 1) || (Number.isSafeInteger(value) && value >= least),
  );
}

/** -1, for "no limit", or a whole number from 1. */
export const limit: Type<number> = numeric(
  "-1 or a whole number >= 1",
  (value) => value === -1 || (Number.isSafeInteger(value) && value >= 1),
);

/** @param others values that are known and not honoured, with the reason */
export function choice<const N extends string>(names: readonly N[], others: Record<string, string> = {}): Type<N> {
  return {
    expected: names.map(quoted).join(" or "),
    parse({ value }) {
      // PyYAML, and every editor's idea of YAML, makes an unquoted `no` false.
      const word = value === false ? "no" : value;
      const found = names.find((name) => name === word);
      if (found !== undefined) return found;
      const why = typeof word === "string" && Object.hasOwn(others, word) ? others[word] : undefined;
      return why === undefined ? new Wrong() : new Wrong(why);
    },
  };
}

/** Names to values of any kind, as in a JSON object. */
export const record: Type<Readonly<Record<string, unknown>>> = {
  expected: "names with values, such as {r: 8, target_modules: [q_proj, v_proj]}",
  parse: ({ value }) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : new Wrong(),
};

/** A list, or names with commas between them. */
export const names: Type<readonly string[]> = {
  expected: "names, as a list or with commas between them",
  parse({ value, source }) {
    if (typeof value === "number" || typeof value === "boolean") return [source ?? String(value)];
    const items: unknown = typeof value === "string" ? value.split(",").map((name) => name.trim()) : value;
    if (!Array.isArray(items) || items.length === 0) return new Wrong();
    const strings = items.map((item: unknown) => (typeof item === "number" ? String(item) : item));
    if (!strings.every((item): item is string => typeof item === "string")) return new Wrong();
    return strings.some((item) => item === "") ? new Wrong("has an empty name in it") : strings;
  },
};

/** `all`, or names. */
export const namesOrAll: Type<"all" | readonly string[]> = {
  expected: `"all", or ${names.expected}`,
  parse(given) {
    const found = names.parse(given);
    return found instanceof Wrong || !found.some((name) => name === "all" || name === "all-linear") ? found : "all";
  },
};

/** Items of a choice, of which `none` is no item. */
export function several<const N extends string>(
  items: readonly N[],
  others: Record<string, string>,
): Type<readonly N[]> {
  const one = choice(items, others);
  return {
    expected: `"none", or ${one.expected}`,
    parse(given) {
      if (given.value === false || (Array.isArray(given.value) && given.value.length === 0)) return [];
      const found = names.parse(given);
      if (found instanceof Wrong) return found;
      const parsed = found.filter((name) => name !== "none" && name !== "no").map((value) => one.parse({ value }));
      const wrong = parsed.find((item) => item instanceof Wrong);
      return wrong ?? parsed.filter((item): item is N => !(item instanceof Wrong));
    },
  };
}

/** Numbers in a list, or with commas between them. */
export const numbers: Type<readonly number[]> = {
  expected: "numbers, as a list or with commas between them",
  parse({ value }) {
    const items: unknown = typeof value === "string" ? value.split(",") : typeof value === "number" ? [value] : value;
    if (!Array.isArray(items) || items.length === 0) return new Wrong();
    const found = items.map((item: unknown) => toNumber(item));
    return found.every((item) => item !== undefined) ? found : new Wrong();
  },
};

export const mapping: Type<Readonly<Record<string, unknown>>> = {
  expected: "keys with values, such as {min_lr: 1.0e-6}",
  parse({ value }) {
    const found = typeof value === "string" ? jsonOf(value) : value;
    return isMapping(found) ? found : new Wrong();
  },
};

/** Anything at all: of keys that are refused whatever they say. */
export const anything: Type<unknown> = { expected: "nothing", parse: ({ value }) => value };

/** The type, or nothing: null, an empty value, or the word `None`. */
export function maybe<T>(type: Type<T>): Type<T | null> {
  return {
    expected: `${type.expected}, or null`,
    parse(given) {
      return given.value === null || given.value === "None" || given.value === "" ? null : type.parse(given);
    },
  };
}

/** The first of two types that accepts the value. */
export function either<A, B>(first: Type<A>, second: Type<B>): Type<A | B> {
  return {
    expected: `${first.expected}, or ${second.expected}`,
    parse(given) {
      const found = first.parse(given);
      return found instanceof Wrong ? second.parse(given) : found;
    },
  };
}

const BYTE_UNITS: Readonly<Record<string, number>> = {
  b: 1,
  ...Object.fromEntries(["kb", "mb", "gb", "tb"].map((unit, i) => [unit, 1000 ** (i + 1)])),
  ...Object.fromEntries(["kib", "mib", "gib", "tib"].map((unit, i) => [unit, 1024 ** (i + 1)])),
};

/** An amount of memory, in bytes. */
export const byteCount: Type<number> = {
  expected: "bytes, or an amount such as 512MB or 1.5GiB",
  parse({ value }) {
    const [, digits, unit] = /^\s*(.*?)\s*([kmgt]?i?b)?\s*$/i.exec(String(value)) ?? [];
    const count = toNumber(typeof value === "number" ? value : digits);
    const factor = unit === undefined ? 1 : BYTE_UNITS[unit.toLowerCase()];
    return count === undefined || factor === undefined || count < 0 ? new Wrong() : Math.floor(count * factor);
  },
};

function numeric(expected: string, holds: (value: number) => boolean): Type<number> {
  return {
    expected,
    parse({ value }) {
      const found = toNumber(value);
      return found !== undefined && holds(found) ? found : new Wrong();
    },
  };
}

/** A number, or the text of one; YAML 1.1 also allows underscores between digits. */
function toNumber(value: unknown): number | undefined {
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined;
  if (typeof value !== "string" || !/^\s*[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$/.test(value)) return undefined;
  const found = Number(value.replaceAll("_", ""));
  return Number.isFinite(found) ? found : undefined;
}

function isIn(value: number, { min, max, above, below }: Range): boolean {
  return (
    (min === undefined || value >= min) &&
    (max === undefined || value <= max) &&
    (above === undefined || value > above) &&
    (below === undefined || value < below)
  );
}

function words({ min, max, above, below }: Range): string {
  const bounds = [
    min === undefined ? undefined : `>= ${min}`,
    above === undefined ? undefined : `> ${above}`,
    max === undefined ? undefined : `<= ${max}`,
    below === undefined ? undefined : `< ${below}`,
  ].filter((bound) => bound !== undefined);
  return bounds.length === 0 ? "" : ` ${bounds.join(" and ")}`;
}

function jsonOf(value: string): unknown {
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return undefined;
  }
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function quoted(name: string): string {
  return `"${name}"`;
}
