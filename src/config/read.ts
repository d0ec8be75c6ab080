/**
 * Configurations of runs: LLaMA-Factory's YAML, or the same keys as JSON, with `key=value` from the command line after it.
 *
 * A file is read as YAML 1.2 (so `1e-4` is a number), and its values by {@link Type}s that also take what PyYAML would.
 */
import { readFile, stat } from "node:fs/promises";
import { ConfigError } from "../errors.ts";
import type { Settings } from "./derive.ts";
import { isItem, OVERRIDES, readItems, readOverride } from "./items.ts";
import type { TrainingArguments } from "./keys.ts";
import { combine, type Item, settle, type Settled, type Verb } from "./settings.ts";

/** The configuration of a run, checked and finished. Which keys are not null depends on the verb; a model there always is. */
export type RunConfig = Settings & { readonly modelNameOrPath: string };

export interface ReadConfig {
  readonly config: RunConfig;
  /** Names of the keys that were given, as in files: `learning_rate`. */
  readonly given: ReadonlySet<string>;
  /** Keys that do nothing here, or something else than elsewhere: one line each. */
  readonly notes: readonly string[];
  /** The file; undefined where there was none. */
  readonly path: string | undefined;
}

/** A configuration is a page or two: what is longer is some other file. */
const MAX_BYTES = 2 ** 20;

/**
 * Reads a configuration.
 *
 * @param path a `.yaml`, `.yml` or `.json` file; undefined: only `overrides` count
 * @param overrides `key=value` each, the value as YAML; they go before the file, and the last before the first
 * @param verb what it is for: which keys there must be. `train` and `data` need model_name_or_path and dataset, `export`
 *   model_name_or_path and export_dir, `chat` model_name_or_path
 * @throws ConfigError with every problem of the file: its line, the key, what was found and what would do
 */
export async function readRunConfig(
  path: string | undefined,
  overrides: readonly string[] = [],
  verb: Exclude<Verb, "trainer"> = "train",
): Promise<ReadConfig> {
  const text = path === undefined ? "" : await readConfigText(path);
  return parseRunConfig(text, path, overrides, verb);
}

/** {@link readRunConfig} for a text that is there already. `path` is for messages, and says by its ending what is JSON. */
export function parseRunConfig(
  text: string,
  path: string | undefined,
  overrides: readonly string[] = [],
  verb: Exclude<Verb, "trainer"> = "train",
): ReadConfig {
  const name = path ?? OVERRIDES;
  const file = path === undefined ? { items: [], problems: [] } : readItems(text, path);
  // A file that is not YAML has no keys: that they are missing would be one more, and wrong, complaint.
  if (file.items === undefined) throw combine(file.problems, name);
  const problems = [...file.problems];
  const items = new Map(file.items.map((item) => [item.name, item]));
  for (const override of overrides) {
    const item = readOverride(override);
    if (isItem(item)) items.set(item.name, item);
    else problems.push(item);
  }
  const { config, given, notes, problems: others } = settle([...items.values()], { verb, path: name });
  problems.push(...others);
  if (problems.length > 0) throw combine(problems, name);
  // What has no model has not come this far.
  return { config: config as RunConfig, given, notes, path };
}

/**
 * Checks the `args` of a `Trainer`: the same keys in camelCase, with the same messages.
 *
 * @param args only what transformers calls TrainingArguments, and control of the run; undefined values are not given
 * @param hasEvalData whether there is a data set to evaluate on
 * @throws ConfigError with every problem
 */
export function validateArgs(args: TrainingArguments, hasEvalData = false): Settled {
  const items = Object.entries(args)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]): Item => ({ name, value, where: "args" }));
  const { problems, ...settled } = settle(items, { verb: "trainer", path: "args", hasEvalData });
  if (problems.length > 0) throw combine(problems, "args");
  return settled;
}

/** The text of a configuration. @throws ConfigError if there is no such file, or it is no text */
export async function readConfigText(path: string): Promise<string> {
  let bytes: Uint8Array;
  try {
    const found = await stat(path);
    if (!found.isFile())
      throw new ConfigError({ where: path, what: "is not a file", hint: "name a .yaml or .json file" });
    if (found.size > MAX_BYTES) {
      const expected = `<= ${MAX_BYTES} bytes`;
      throw new ConfigError({ where: path, what: "is too large for a configuration", got: found.size, expected });
    }
    bytes = await readFile(path);
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause;
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    const what = code === "ENOENT" ? "there is no such file" : `cannot be read (${String(code ?? cause)})`;
    throw new ConfigError({ where: path, what, hint: "recipes/ has configurations to start from", cause });
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new ConfigError({ where: path, what: "is not UTF-8 text", hint: "save it as UTF-8", cause });
  }
}
