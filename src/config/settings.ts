/** From keys that were given to the finished configuration of a run, and everything that is wrong with them. */
import { ConfigError, type Problem } from "../errors.ts";
import { distance, nearest } from "../nearest.ts";
import { derive, type Settings } from "./derive.ts";
import type { Key } from "./key.ts";
import { ENTRIES, type FoldedValues, type SectionName, type Values } from "./keys.ts";
import { checkTogether } from "./rules.ts";
import { type Given, Wrong } from "./type.ts";

/** What a configuration is for. `trainer` is `new Trainer({ args })`. */
export type Verb = "train" | "data" | "chat" | "export" | "trainer";

/** A key as it was given. */
export interface Item extends Given {
  readonly name: string;
  /** File and line, or whatever else a message should say. */
  readonly where: string;
}

export interface Context {
  readonly verb: Verb;
  /** The file, or what else has the keys. */
  readonly path: string;
  /** Whether there is data to evaluate on besides what the keys say. Default: false. */
  readonly hasEvalData?: boolean;
}

export interface Settled {
  readonly config: Settings;
  /** Names of the keys that were given, as in files: `learning_rate`. */
  readonly given: ReadonlySet<string>;
  /** Keys that do nothing here, or something else than elsewhere: one line each. */
  readonly notes: readonly string[];
}

/** Sections that matter to a verb. Keys of others are known, and no more is asked of them. */
const MATTERS: Record<Verb, readonly SectionName[]> = {
  train: ["model", "method", "dataset", "train", "elsewhere"],
  data: ["model", "method", "dataset", "train", "elsewhere"],
  chat: ["model", "dataset", "generation", "elsewhere"],
  export: ["model", "dataset", "export", "elsewhere"],
  trainer: ["train"],
};

/** Where the settings go that a trainer does not take. */
const ELSEWHERE: Record<SectionName, string> = {
  model: "it is said to AutoModelForCausalLM.fromPretrained",
  method: "it is said to getPeftModel",
  dataset: "it is for data sets: a trainer gets rows, or a data set",
  train: "",
  generation: "it is said to generate",
  export: "it is for `lowrank export`",
  elsewhere: "it has no effect on a trainer",
};

const BY_SNAKE: ReadonlyMap<string, (typeof ENTRIES)[number]> = new Map(ENTRIES.map((entry) => [entry.name, entry]));
const BY_CAMEL: ReadonlyMap<string, (typeof ENTRIES)[number]> = new Map(ENTRIES.map((entry) => [entry.camel, entry]));

/** Problems: unknown keys, wrong values, keys that do not go together. With any of them, `config` is of no use. */
export function settle(items: readonly Item[], context: Context): Settled & { problems: readonly Problem[] } {
  const { verb, path } = context;
  const problems: Problem[] = [];
  const notes: string[] = [];
  const byName = verb === "trainer" ? BY_CAMEL : BY_SNAKE;
  const spell = (snake: string) => (verb === "trainer" ? (BY_SNAKE.get(snake)?.camel ?? snake) : snake);
  const values: Record<string, unknown> = Object.fromEntries(
    ENTRIES.filter(({ key }) => isKept(key)).map(({ camel, key }) => [camel, key.byDefault]),
  );
  const places = new Map<string, string>();
  const wrong = new Set<string>();
  const changed = new Set<string>();

  for (const item of items) {
    const entry = byName.get(item.name);
    const where = `${item.where}: ${item.name}`;
    if (entry === undefined) {
      problems.push(unknownKey(item, where, verb));
      continue;
    }
    const { name, camel, section, key } = entry;
    const matters = MATTERS[verb].includes(section);
    if (!matters && verb === "trainer") {
      problems.push({ where, what: "is no setting of a trainer", hint: ELSEWHERE[section] });
      continue;
    }
    places.set(name, item.where);
    if (isUnsaid(key, item.value)) continue;
    const value = key.type.parse(item);
    if (key.status === "refused" && matters && !asksForNothing(key, value)) {
      problems.push(refusal(key, item, where));
    } else if (value instanceof Wrong) {
      if (!matters) continue;
      wrong.add(name);
      problems.push(mismatch(key, item, value, where));
    } else {
      if (isKept(key)) values[camel] = value;
      if (isSame(value, key.byDefault)) continue;
      changed.add(name);
      if (key.status === "inert" && matters) {
        notes.push(`${item.name}: ${short(item)} has no effect here: ${key.why}`);
      }
    }
  }

  const { settings, ...derived } = derive(values as unknown as Values & FoldedValues, places);
  const given = new Set(places.keys());
  const together = checkTogether(settings, { ...context, given, changed, wrong });
  notes.push(...derived.notes, ...together.notes);
  for (const { key, ...problem } of [...derived.problems, ...together.problems]) {
    problems.push({ ...problem, where: `${places.get(key) ?? path}: ${spell(key)}` });
  }
  return { config: settings, given, notes, problems };
}

/** Of a key that does nothing, nobody can ask the value. */
function isKept({ status }: Key): boolean {
  return status === "honoured" || status === "folded";
}

function unknownKey({ name }: Item, where: string, verb: Verb): Problem {
  const candidates = ENTRIES.map((entry) => (verb === "trainer" ? entry.camel : entry.name));
  const closest = nearest(name, candidates);
  const isNear = closest !== undefined && distance(name, closest) <= Math.max(2, name.length / 2);
  return {
    where,
    what: "there is no such key",
    hint: isNear ? `the nearest one is ${closest}` : "docs/configuration.md lists the keys",
  };
}

function mismatch(key: Key, item: Item, { what, hint }: Wrong, where: string): Problem {
  // Where it is clear what is wrong, what else would do is in the hint at most.
  const expected = what === undefined ? { expected: key.type.expected } : {};
  return {
    where,
    what: what ?? (item.value === null ? "has no value" : "is not what it should be"),
    ...(item.value === null ? {} : { got: short(item) }),
    ...expected,
    ...hintFor(key, item, what === undefined ? hint : (hint ?? `accepted: ${key.type.expected}`)),
  };
}

/** The default is an example that is accepted. */
function hintFor(key: Key, item: Item, hint: string | undefined): { hint?: string } {
  if (hint !== undefined) return { hint };
  return key.byDefault === null ? {} : { hint: `for example ${item.name}: ${short({ value: key.byDefault })}` };
}

function refusal(key: Key, item: Item, where: string): Problem {
  return { where, what: `${key.meaning}: ${key.why}`, got: short(item), hint: key.hint ?? "remove the line" };
}

/** Nothing was said: such keys are often in a file to show that they exist. */
function isUnsaid(key: Key, value: unknown): boolean {
  return value === null && (key.status === "refused" || key.status === "inert");
}

function asksForNothing(key: Key, value: unknown): boolean {
  if (value instanceof Wrong) return false;
  if (isSame(value, key.byDefault)) return true;
  return key.byDefault === null && (value === false || value === 0 || isSame(value, []));
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** A value as the file has it, cut where it is long. */
function short({ value, source }: Given): string {
  const whole = source ?? (typeof value === "string" ? value : JSON.stringify(value));
  return whole.length > 80 ? `${whole.slice(0, 80)}…` : whole;
}

/** A first try at a configuration can have many, and each line of a file is worth a line. */
const SHOWN = 20;

/** One error for all problems in the order of their lines, each with its own hint; the first of them, and how many more. */
export function combine(problems: readonly Problem[], path: string): ConfigError {
  const [first, ...others] = problems.toSorted((a, b) => compare(lineOf(a), lineOf(b)));
  if (first !== undefined && others.length === 0) return new ConfigError(first);
  const sorted = first === undefined ? [] : [first, ...others];
  const lines = sorted.slice(0, SHOWN).map((problem) => new ConfigError(problem).message.replaceAll("\n", "\n  "));
  const more = problems.length > SHOWN ? `\n  and ${problems.length - SHOWN} more` : "";
  return new ConfigError({
    where: path,
    what: `${problems.length} problems${lines.map((line) => `\n  ${line}`).join("")}${more}`,
  });
}

/** Infinity minus itself is no number. */
function compare(a: number, b: number): number {
  return a === b ? 0 : a - b;
}

/** What is in no line is about the whole, and comes last. */
function lineOf({ where = "" }: Problem): number {
  return Number(/:(\d+)(?::|$)/.exec(where)?.[1] ?? Infinity);
}
