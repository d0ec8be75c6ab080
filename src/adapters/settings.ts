/**
 * Settings of a tuning method, said once: how they are called here and in PEFT's `adapter_config.json`, what they may be,
 * and what they are when nothing is said. Checking, files and documentation go by them.
 */
import { ConfigError, listed } from "../errors.ts";

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

export interface Setting<T> {
  /** Its name in `adapter_config.json`. Absent: the file does not hold it, such as a choice of how to compute. */
  readonly wire?: string;
  readonly default: T;
  /** What it means, in a line. */
  readonly about: string;
  /**
   * Configurations may say it by its name there, but files do not hold it: it is about training, and changes nothing about
   * an adapter that is there. Default: false.
   */
  readonly trainingOnly?: true;
  /** What is wrong with a value, in words. @param name how the message calls the setting */
  problems(name: string, value: unknown): readonly string[];
  /**
   * The value that a file has, which is not null. Absent: as it is.
   * @returns undefined to keep the default
   * @throws ConfigError saying what is wrong, without a place
   */
  read?(value: JsonValue): T | undefined;
  /** The value as a file has it. Absent: as it is. @param config all settings */
  write?(value: T, config?: object): JsonValue;
}

export type Settings<C> = { readonly [K in keyof C]-?: Setting<C[K]> };

/** What a message says of a value. */
export function shownValue(value: unknown): string {
  if (typeof value === "string") return `"${value}"`;
  return typeof value === "number" || typeof value === "bigint"
    ? String(value)
    : (JSON.stringify(value) ?? "undefined");
}

function setting<T>(
  wire: string | undefined,
  byDefault: T,
  about: string,
  expected: string,
  is: (value: unknown) => boolean,
): Setting<T> {
  return {
    ...(wire === undefined ? {} : { wire }),
    default: byDefault,
    about,
    problems: (name, value) => (is(value) ? [] : [`${name} is ${shownValue(value)}, not ${expected}`]),
  };
}

/** @param wire undefined: not in the file */
export function integer(wire: string | undefined, byDefault: number, about: string, { min = 1 } = {}): Setting<number> {
  return setting(wire, byDefault, about, `an integer >= ${min}`, (v) => Number.isInteger(v) && (v as number) >= min);
}

export function finite(wire: string | undefined, byDefault: number, about: string): Setting<number> {
  return setting(wire, byDefault, about, "a finite number", Number.isFinite);
}

/** 0 <= p < 1 */
export function probability(wire: string | undefined, byDefault: number, about: string): Setting<number> {
  const is = (v: unknown) => typeof v === "number" && v >= 0 && v < 1;
  return setting(wire, byDefault, about, "a probability, 0 <= p < 1", is);
}

export function flag(wire: string | undefined, byDefault: boolean, about: string): Setting<boolean> {
  return setting(wire, byDefault, about, "true or false", (v) => typeof v === "boolean");
}

export function oneOf<const T extends string>(
  wire: string | undefined,
  byDefault: T,
  about: string,
  values: readonly T[],
): Setting<T> {
  return setting(wire, byDefault, about, `one of ${values.join(", ")}`, (v) => values.includes(v as T));
}

/** Not empty. */
export function text(wire: string | undefined, byDefault: string, about: string): Setting<string> {
  return setting(wire, byDefault, about, "a text", (v) => typeof v === "string" && v !== "");
}

/** A setting that may be null, which is then its default. */
export function optional<T>(inner: Setting<T>): Setting<T | null> {
  const { wire, about } = inner;
  return {
    ...(wire === undefined ? {} : { wire }),
    default: null,
    about,
    problems: (name, value) => (value === null ? [] : inner.problems(name, value)),
    ...(inner.read === undefined ? {} : { read: (value: JsonValue) => inner.read!(value) }),
    write: (value) => (value === null ? null : (inner.write?.(value) ?? (value as JsonValue))),
  };
}

/** A setting that files do not hold: see {@link Setting.trainingOnly}. */
export function trainingOnly<T>(inner: Setting<T>): Setting<T> {
  return { ...inner, trainingOnly: true };
}

/** Names, or a pattern for whole names. */
export function nameList(
  wire: string | undefined,
  byDefault: string | readonly string[],
  about: string,
): Setting<string | readonly string[]> {
  const is = (v: unknown) => typeof v === "string" || (Array.isArray(v) && v.every((one) => typeof one === "string"));
  return setting(wire, byDefault, about, "a string or a list of strings", is);
}

/** Values of single layers, by patterns for the ends of their names. @param one what each value has to be */
export function perLayer(
  wire: string | undefined,
  about: string,
  one: Setting<number>,
): Setting<Readonly<Record<string, number>>> {
  return {
    ...(wire === undefined ? {} : { wire }),
    default: {},
    about,
    problems: (name, value) =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.entries(value).flatMap(([pattern, own]) => one.problems(`${name} "${pattern}"`, own))
        : [`${name} is ${shownValue(value)}, not an object of numbers`],
  };
}

/** What a method has to say about a configuration, to whoever fills one in. */
export interface Configurable<C> {
  readonly name: string;
  readonly settings: Settings<C>;
  /** What is wrong with settings together, in words; each is right by itself. */
  check?(config: C): readonly string[];
}

/** A whole configuration: checked, defaults filled in. @throws ConfigError naming everything that is wrong */
export function configure<C extends object>(method: Configurable<C>, options: Partial<C> = {}): C {
  const { name: where, settings } = method;
  const entries = Object.entries(settings) as [keyof C & string, Setting<C[keyof C]>][];
  const config = Object.fromEntries(
    entries.map(([key, { default: byDefault }]) => [key, options[key] ?? byDefault]),
  ) as C;
  // null is a value of those that may be null.
  for (const [key] of entries) if (options[key] === null) config[key] = null as C[typeof key];
  const unknown = Object.keys(options).filter((key) => !Object.hasOwn(settings, key));
  const wrong = [
    ...unknown.map((key) => `there is no setting "${key}"`),
    ...entries.flatMap(([key, one]) => one.problems(key, config[key])),
  ];
  if (wrong.length === 0) wrong.push(...(method.check?.(config) ?? []));
  if (wrong.length > 0) throw new ConfigError({ where, what: listed(wrong) });
  return config;
}
