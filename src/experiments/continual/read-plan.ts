/**
 * The file of a sequence of tasks: which model, which tasks in which order, which methods. All that is wrong is said at once.
 *
 *     tasks: generated | olora-cl | [{ name, train, test, text, text_pair, label, labels }]
 *     methods: [{ method: full, learning_rate: 1e-5 }, { method: lora, r: 8, alpha: 16, learning_rate: 1.5e-4 }]
 *     train_texts: 320, test_texts: 240, head_texts: 256, epochs: 4, batch_size: 16, max_length: 64, seeds: [0, 1, 2]
 */
import { join } from "node:path";
import { readTree } from "../../config/items.ts";
import { combine } from "../../config/settings.ts";
import type { Problem } from "../../errors.ts";
import { meant } from "../../nearest.ts";
import { OLORA_TASKS } from "../tasks/olora-cl.ts";
import type { TaskFiles } from "../tasks/task-files.ts";
import type { ContinualMethod } from "./method.ts";
import type { ContinualPlan } from "./plan.ts";

export interface SequenceFile {
  readonly plan: Omit<ContinualPlan, "source">;
  readonly tasks: "generated" | "olora-cl" | readonly TaskFiles[];
  readonly seeds: readonly number[];
  /** File of texts like those of pretraining, as it was given. */
  readonly pretrainingTexts?: string;
}

const KEYS = [
  ..."model tasks methods train_texts test_texts head_texts epochs batch_size max_length seeds".split(" "),
  ..."pretraining_texts pictured_layers".split(" "),
];
const TASK_KEYS = "name train test test_share text text_pair label labels".split(" ");
const METHODS: Readonly<Record<string, readonly string[]>> = {
  full: ["learning_rate"],
  lora: ["r", "alpha", "learning_rate", "name"],
  "seq-lora": ["r", "alpha", "learning_rate"],
  "o-lora": ["r", "alpha", "learning_rate", "lambda_1", "overlap"],
};
const DEFAULTS = { trainTexts: 1000, testTexts: 500, headTexts: 1000, epochs: 3, batchSize: 16, lambda1: 0.5 };

/** @throws ConfigError with every problem of the file */
export function parseSequence(text: string, path: string): SequenceFile {
  const { items, problems } = readTree(text, path, 0);
  if (items === undefined) throw combine(problems, path);
  const reader = new Reader(path, [...problems]);
  const values = new Map(items.map(({ name, value, where }) => [name, { value, where }]));
  for (const { name, where } of items) reader.expectKnown(name, KEYS, where);
  const of = (name: string) => values.get(name) ?? { value: undefined, where: path };
  const number = (name: string, fallback: number, isInteger = true) =>
    reader.number(of(name).value, `${of(name).where} ${name}`, { fallback, isInteger });
  const tasks = reader.tasks(of("tasks").value, of("tasks").where);
  const methods = reader.methods(of("methods").value, of("methods").where);
  const model = reader.text(of("model").value, of("model").where);
  const pretrainingTexts = reader.text(of("pretraining_texts").value, of("pretraining_texts").where);
  const maxLength = isAbsent(of("max_length").value) ? undefined : number("max_length", 0);
  const pictured = reader.names(of("pictured_layers").value, `${of("pictured_layers").where} pictured_layers`);
  const plan = {
    methods,
    trainTexts: number("train_texts", DEFAULTS.trainTexts),
    testTexts: number("test_texts", DEFAULTS.testTexts),
    headTexts: number("head_texts", DEFAULTS.headTexts),
    epochs: number("epochs", DEFAULTS.epochs, false),
    batchSize: number("batch_size", DEFAULTS.batchSize),
    ...(model === undefined ? {} : { model }),
    ...(maxLength === undefined ? {} : { maxLength }),
    ...(pictured === undefined ? {} : { pictured }),
  };
  const seeds = reader.seeds(of("seeds").value, of("seeds").where);
  if (reader.problems.length > 0) throw combine(reader.problems, path);
  return { plan, tasks, seeds, ...(pretrainingTexts === undefined ? {} : { pretrainingTexts }) };
}

/** The tasks with their folder. @param data folder of the files; `olora` that of the benchmark, where it was found */
export function taskSource(
  { tasks, pretrainingTexts }: Pick<SequenceFile, "tasks" | "pretrainingTexts">,
  { data, olora }: { readonly data: string; readonly olora: string | undefined },
): ContinualPlan["source"] | undefined {
  if (tasks === "generated") return { kind: "generated" };
  const root = tasks === "olora-cl" ? olora : data;
  if (root === undefined) return undefined;
  const pretraining = pretrainingTexts === undefined ? {} : { pretraining: join(data, pretrainingTexts) };
  return { kind: "files", root, tasks: tasks === "olora-cl" ? OLORA_TASKS : tasks, ...pretraining };
}

type Fields = Readonly<Record<string, unknown>>;

class Reader {
  readonly problems: Problem[];
  readonly #path: string;

  constructor(path: string, problems: Problem[]) {
    this.#path = path;
    this.problems = problems;
  }

  expectKnown(name: string, known: readonly string[], where: string): void {
    if (known.includes(name)) return;
    const close = meant(name, known);
    this.problems.push({
      where,
      what: "there is no such key",
      got: name,
      ...(close === undefined ? { expected: known.join(", ") } : { hint: `the nearest one is "${close}"` }),
    });
  }

  number(value: unknown, where: string, { fallback, isInteger = false }: { fallback?: number; isInteger?: boolean }) {
    if (isAbsent(value) && fallback !== undefined) return fallback;
    if (typeof value === "number" && value > 0 && Number.isFinite(value) && (!isInteger || Number.isInteger(value))) {
      return value;
    }
    this.problems.push({
      where,
      what: isAbsent(value) ? "is missing" : "has a wrong value",
      ...(isAbsent(value) ? {} : { got: shown(value) }),
      expected: isInteger ? "a whole number from 1 on" : "a number above 0",
    });
    return 1;
  }

  text(value: unknown, where: string): string | undefined {
    if (isAbsent(value)) return undefined;
    if (typeof value === "string" && value !== "") return value;
    this.problems.push({ where, what: "has a wrong value", got: shown(value), expected: "a path" });
    return undefined;
  }

  names(value: unknown, where: string): readonly string[] | undefined {
    if (isAbsent(value)) return undefined;
    if (Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === "string")) return value;
    this.problems.push({ where, what: "has a wrong value", got: shown(value), expected: "a list of names" });
    return undefined;
  }

  seeds(value: unknown, where: string): readonly number[] {
    if (isAbsent(value)) return [0, 1, 2];
    const isSeed = (one: unknown) => typeof one === "number" && Number.isSafeInteger(one) && one >= 0;
    if (Array.isArray(value) && value.length > 0 && value.every(isSeed)) return value as number[];
    this.problems.push({
      where: `${where} seeds`,
      what: "has a wrong value",
      got: shown(value),
      expected: "[0, 1, 2]",
    });
    return [];
  }

  tasks(value: unknown, where: string): SequenceFile["tasks"] {
    if (value === "generated" || value === "olora-cl") return value;
    const expected = "generated, olora-cl, or a list of tasks";
    if (!Array.isArray(value) || value.length === 0) {
      const what = isAbsent(value) ? "is missing" : "has a wrong value";
      this.problems.push({
        where: `${where} tasks`,
        what,
        expected,
        ...(isAbsent(value) ? {} : { got: shown(value) }),
      });
      return "generated";
    }
    return value.flatMap((one, i) => this.#task(one, `${this.#path} tasks[${i}]`) ?? []);
  }

  #task(value: unknown, where: string): TaskFiles | undefined {
    const fields = this.#fields(value, where, TASK_KEYS);
    if (fields === undefined) return undefined;
    const required = ["name", "train", "text"].flatMap((key) => {
      const found = fields[key];
      if (typeof found === "string" && found !== "") return [found];
      this.problems.push({ where: `${where}.${key}`, what: isAbsent(found) ? "is missing" : "is no text" });
      return [];
    });
    const optional = (key: string) => {
      const found = fields[key];
      if (isAbsent(found)) return undefined;
      if (typeof found === "string" && found !== "") return found;
      this.problems.push({ where: `${where}.${key}`, what: "is no text", got: shown(found) });
      return undefined;
    };
    const [test, pair, label] = ["test", "text_pair", "label"].map(optional);
    const labels = this.names(fields["labels"], `${where}.labels`);
    const testShare = isAbsent(fields["test_share"])
      ? undefined
      : this.number(fields["test_share"], `${where}.test_share`, {});
    if (testShare !== undefined && testShare >= 1) {
      this.problems.push({ where: `${where}.test_share`, what: "leaves nothing to train on", got: testShare });
    }
    const [name, train, text] = required;
    if (text === undefined) return undefined;
    return {
      name: name!,
      train: train!,
      text,
      ...(test === undefined ? {} : { test }),
      ...(testShare === undefined ? {} : { testShare }),
      ...(pair === undefined ? {} : { pair }),
      ...(label === undefined ? {} : { label }),
      ...(labels === undefined ? {} : { labels }),
    };
  }

  methods(value: unknown, where: string): readonly ContinualMethod[] {
    if (!Array.isArray(value) || value.length === 0) {
      const what = isAbsent(value) ? "is missing" : "has a wrong value";
      this.problems.push({ where: `${where} methods`, what, expected: "a list of methods" });
      return [];
    }
    return value.flatMap((one, i) => this.#method(one, `${this.#path} methods[${i}]`) ?? []);
  }

  #method(value: unknown, where: string): ContinualMethod | undefined {
    const kind = (value as Fields | null)?.["method"];
    const known = typeof kind === "string" && Object.hasOwn(METHODS, kind) ? METHODS[kind] : undefined;
    if (known === undefined) {
      const expected = Object.keys(METHODS).join(", ");
      this.problems.push({ where: `${where}.method`, what: "there is no such method", got: shown(kind), expected });
      return undefined;
    }
    const fields = this.#fields(value, where, ["method", ...known]);
    if (fields === undefined) return undefined;
    const learningRate = this.number(fields["learning_rate"], `${where}.learning_rate`, {});
    if (kind === "full") return { kind, learningRate };
    const r = this.number(fields["r"], `${where}.r`, { isInteger: true });
    const alpha = this.number(fields["alpha"], `${where}.alpha`, { fallback: 2 * r });
    const low = { r, alpha, learningRate };
    if (kind === "o-lora") {
      const overlap = fields["overlap"] ?? "squared";
      if (overlap !== "squared" && overlap !== "absolute") {
        this.problems.push({
          where: `${where}.overlap`,
          what: "has a wrong value",
          got: shown(overlap),
          expected: "squared or absolute",
        });
        return undefined;
      }
      const lambda1 =
        fields["lambda_1"] === 0
          ? 0
          : this.number(fields["lambda_1"], `${where}.lambda_1`, { fallback: DEFAULTS.lambda1 });
      return { kind, ...low, lambda1, overlap };
    }
    if (kind === "seq-lora") return { kind, ...low };
    const name = this.text(fields["name"], `${where}.name`);
    return { kind: "lora", ...low, ...(name === undefined ? {} : { name }) };
  }

  #fields(value: unknown, where: string, known: readonly string[]): Fields | undefined {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      this.problems.push({ where, what: "is not a list of keys", got: shown(value) });
      return undefined;
    }
    for (const name of Object.keys(value)) this.expectKnown(name, known, where);
    return value as Fields;
  }
}

/** Not given, or given as nothing. */
function isAbsent(value: unknown): value is undefined | null {
  return value === undefined || value === null;
}

function shown(value: unknown): string {
  return JSON.stringify(value) ?? "nothing";
}
