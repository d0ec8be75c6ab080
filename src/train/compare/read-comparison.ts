/**
 * The file of a comparison: `base`, `forgetting`, `seeds`, `token_budget`, `storages`, `methods` and `cells`, each cell with keys
 * of a run in place of the base's. All cells are checked, and all that is wrong is said at once.
 */
import { ENTRIES } from "../../config/keys.ts";
import { isItem, OVERRIDES, readOverride, readTree, type TreeItem } from "../../config/items.ts";
import { FINETUNING_TYPES, trainsAdapter } from "../../config/methods.ts";
import { readConfigText, type RunConfig } from "../../config/read.ts";
import { idleKeys } from "../../config/rules.ts";
import { storageSettings } from "../../config/storage.ts";
import { combine, type Item, settle, type Verb } from "../../config/settings.ts";
import { ConfigError, type Problem } from "../../errors.ts";
import { nearest } from "../../nearest.ts";
import type { Cell, Comparison } from "./comparison.ts";

/** Keys of the file itself. */
const SECTIONS = ["base", "forgetting", "seeds", "token_budget", "storages", "methods", "cells"] as const;
type SectionName = (typeof SECTIONS)[number];

/** `peft_config` of a cell is the deepest list of keys that is looked into. */
const DEPTH = 2;

/** The seed of a comparison that names none. */
const DEFAULT_SEED = 42;
const DEFAULT_STORAGE = "float32";

/** What a comparison gives every run. */
const DECIDED: Readonly<Record<string, unknown>> = {
  do_train: true,
  do_eval: true,
  eval_strategy: "no",
  save_strategy: "no",
  logging_strategy: "steps",
  logging_steps: 1,
  plot_loss: false,
  report_to: "none",
  overwrite_output_dir: true,
};
/** Keys that a comparison decides, or has no use for. */
const NOT_HERE = new Set([
  ...Object.keys(DECIDED),
  ..."output_dir resume_from_checkpoint evaluation_strategy eval_steps eval_on_start save_steps".split(" "),
  ..."save_total_limit save_only_model logging_first_step logging_dir load_best_model_at_end".split(" "),
  ..."metric_for_best_model greater_is_better early_stopping_steps".split(" "),
]);

const DATA_KEYS = new Set<string>(ENTRIES.filter(({ section }) => section === "dataset").map(({ name }) => name));
const MODEL_KEYS = [
  ..."model_name_or_path model_revision cache_dir offline hf_hub_token device threads".split(" "),
  ..."adapter_name_or_path train_from_scratch".split(" "),
];
/** What cells must not differ in, or they could not be compared. */
const SHARED = new Set([
  ...DATA_KEYS,
  ...MODEL_KEYS,
  ..."stage per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps".split(" "),
  ..."num_train_epochs max_steps data_seed train_sampling_strategy shuffle disable_shuffling".split(" "),
  ..."group_by_length rope_scaling".split(" "),
]);
/** Of the base, those that are true of the forgetting text too. */
const FORGETTING_FROM_BASE = new Set([...MODEL_KEYS, "dataset_dir", "cutoff_len", "preprocessing_num_workers"]);
const FORGETTING_KEYS = new Set([...DATA_KEYS, "stage", "per_device_eval_batch_size"]);

export interface ComparisonOptions {
  /** `key=value`: in place of keys of the base, or of `token_budget`. */
  readonly overrides?: readonly string[];
  /** In place of the file's. */
  readonly seeds?: readonly number[];
  /** Names of cells, or their names with a storage (`lora-nf4`). Default: all. */
  readonly only?: readonly string[];
}

/** @throws ConfigError with every problem of the file: its line, the key, what was found and what would do */
export async function readComparison(path: string, options: ComparisonOptions = {}): Promise<Comparison> {
  return parseComparison(await readConfigText(path), path, options);
}

/** {@link readComparison} for a text that is there already. */
export function parseComparison(text: string, path: string, options: ComparisonOptions = {}): Comparison {
  const tree = readTree(text, path, DEPTH);
  if (tree.items === undefined) throw combine(tree.problems, path);
  const reader = new Reader(path, tree.problems);
  const comparison = reader.read(tree.items, options);
  if (reader.problems.length > 0) throw combine(reader.problems, path);
  return comparison;
}

interface Variant {
  readonly name: string;
  readonly items: readonly TreeItem[];
}

interface CellVariant extends Variant {
  /** Names of those that it is run with. Undefined: all. */
  readonly storages: readonly string[] | undefined;
  readonly where: string;
}

/** What comparisons measure is perplexity. */
const NO_CLASSES: Problem = {
  where: "stage",
  what: "classifiers are not compared",
  got: "cls",
  expected: "sft or pt",
  hint: "run the configurations one by one: all_results.json has the accuracy of each",
};

class Reader {
  readonly problems: Problem[];
  readonly #path: string;
  readonly #notes: string[] = [];

  constructor(path: string, problems: readonly Problem[]) {
    this.#path = path;
    this.problems = [...problems];
  }

  read(items: readonly TreeItem[], options: ComparisonOptions): Comparison {
    const sections = this.#sections(items);
    const base = new Map(this.#keys(sections, "base").map((item) => [item.name, item]));
    let budget: Item | undefined = sections.get("token_budget");
    for (const override of options.overrides ?? []) {
      const item = readOverride(override);
      if (!isItem(item)) this.problems.push(item);
      else if (item.name === "token_budget") budget = item;
      else base.set(item.name, item);
    }
    this.#refuseDecided(base.values(), "base");
    const seeds = options.seeds ?? this.#seeds(sections.get("seeds"));
    const tokenBudget = this.#tokenBudget(budget);
    const storages = this.#storages(sections.get("storages"));
    const cells = this.#cells(base, storages, this.#variants(sections), seeds[0]!);
    const wanted = options.only === undefined ? cells : this.#only(cells, options.only);
    return {
      path: this.#path,
      cells: wanted,
      seeds,
      tokenBudget,
      forgetting: this.#forgetting(sections, base),
      notes: [...new Set(this.#notes)],
    };
  }

  #sections(items: readonly TreeItem[]): Map<SectionName, TreeItem> {
    const found = new Map<SectionName, TreeItem>();
    for (const item of items) {
      const name = SECTIONS.find((section) => section === item.name);
      if (name !== undefined) {
        found.set(name, item);
        continue;
      }
      const isKey = ENTRIES.some((entry) => entry.name === item.name);
      const hint = isKey ? "keys of a run go below base:" : `the nearest one is ${nearest(item.name, SECTIONS)}`;
      this.#report(item, "there is no such part of a comparison", { expected: SECTIONS.join(", "), hint });
    }
    if (!found.has("base")) {
      const hint = "base: the keys of a run, such as model_name_or_path and dataset, each indented below it";
      this.problems.push({ where: `${this.#path}: base`, what: "a comparison needs it", hint });
    }
    if (!found.has("cells") && !found.has("methods")) {
      const hint = "cells: names with keys of a run below each, or methods: all";
      this.problems.push({ where: `${this.#path}: cells`, what: "there is nothing to compare", hint });
    }
    return found;
  }

  #keys(sections: ReadonlyMap<SectionName, TreeItem>, name: SectionName): readonly TreeItem[] {
    const item = sections.get(name);
    return item === undefined || item.value === null ? [] : this.#children(item);
  }

  #children(item: TreeItem): readonly TreeItem[] {
    if (item.children !== undefined) return item.children;
    this.#report(item, "is not a list of keys", { hint: "write them in lines of their own, indented below it" });
    return [];
  }

  #refuseDecided(items: Iterable<Item>, part: string): void {
    for (const item of items) {
      if (item.name === "seed") {
        this.#report(item, `is no key of ${part}`, { hint: "seeds: [0, 1, 2] beside base: says it for all cells" });
      } else if (NOT_HERE.has(item.name)) {
        this.#report(item, "is decided by the comparison itself", { hint: "remove the line" });
      }
    }
  }

  #seeds(item: TreeItem | undefined): readonly number[] {
    if (item === undefined) return [DEFAULT_SEED];
    const seeds: readonly unknown[] = Array.isArray(item.value) ? item.value : [item.value];
    const isSeed = (seed: unknown): seed is number => Number.isSafeInteger(seed) && Number(seed) >= 0;
    if (seeds.length > 0 && seeds.every(isSeed) && new Set(seeds).size === seeds.length) return seeds;
    const expected = "different whole numbers >= 0, such as [0, 1, 2]";
    this.#report(item, "is not what it should be", { got: shown(item), expected });
    return [DEFAULT_SEED];
  }

  #tokenBudget(item: Item | undefined): number | undefined {
    if (item === undefined || item.value === null) return undefined;
    if (Number.isSafeInteger(item.value) && Number(item.value) > 0) return Number(item.value);
    this.#report(item, "is not what it should be", { got: shown(item), expected: "a number of tokens above 0" });
    return undefined;
  }

  /** A list of names of storages, or names with the keys of each below. */
  #storages(item: TreeItem | undefined): readonly Variant[] {
    if (item === undefined) return [];
    if (Array.isArray(item.value)) {
      const names: readonly unknown[] = item.value;
      return names.map((value) => {
        const name = String(value);
        this.#checkName(name, item);
        return { name, items: name === DEFAULT_STORAGE ? [] : [{ name: "storage", value: name, where: item.where }] };
      });
    }
    return this.#children(item).map((storage) => {
      this.#checkName(storage.name, storage);
      const items = storage.value === null ? [] : this.#children(storage);
      this.#refuseShared(items, `storages.${storage.name}`);
      return { name: storage.name, items };
    });
  }

  #variants(sections: ReadonlyMap<SectionName, TreeItem>): readonly CellVariant[] {
    const cells = this.#keys(sections, "cells").map((cell): CellVariant => {
      this.#checkName(cell.name, cell);
      const items = cell.value === null ? [] : this.#children(cell);
      const own = items.filter(({ name }) => name !== "storages");
      this.#refuseShared(own, `cells.${cell.name}`);
      const storages = items.find(({ name }) => name === "storages");
      return { name: cell.name, items: own, storages: namesIn(storages?.value), where: cell.where };
    });
    return [...cells, ...this.#ofMethods(sections.get("methods"), cells)];
  }

  /** A cell for each method that has none of its name. */
  #ofMethods(item: TreeItem | undefined, cells: readonly CellVariant[]): readonly CellVariant[] {
    if (item === undefined) return [];
    const wanted = item.value === "all" ? FINETUNING_TYPES : namesIn(item.value);
    if (wanted === undefined) {
      const expected = `all, or a list of ${FINETUNING_TYPES.join(", ")}`;
      this.#report(item, "is not what it should be", { got: shown(item), expected });
      return [];
    }
    const there = new Set(cells.map(({ name }) => name));
    const missing = wanted.filter((method) => !there.has(method));
    if (missing.length > 0) {
      this.#notes.push(`${missing.join(", ")}: without a cell of their name, they have the settings of base`);
    }
    return missing.map((method) => {
      const finetuning = { name: "finetuning_type", value: method, where: item.where };
      return { name: method, items: [finetuning], storages: undefined, where: item.where };
    });
  }

  #refuseShared(items: readonly TreeItem[], part: string): void {
    this.#refuseDecided(items, part);
    for (const item of items.filter(({ name }) => SHARED.has(name))) {
      this.#report(item, "has to be the same in all cells", { hint: "move it to base:" });
    }
  }

  #cells(
    base: ReadonlyMap<string, Item>,
    storages: readonly Variant[],
    variants: readonly CellVariant[],
    seed: number,
  ): readonly Cell[] {
    const found = new Map<string, { problem: Problem; cells: string[] }>();
    const noted = new Map<string, Set<string>>();
    const cells: Cell[] = [];
    for (const variant of variants) {
      for (const storage of this.#storagesOf(variant, storages)) {
        const items = new Map(base);
        for (const item of [...(storage?.items ?? []), ...variant.items]) items.set(item.name, item);
        const { config, notes, problems } = this.#settle(items, "train", { ...DECIDED, seed });
        if (storage !== undefined && storage.items.length > 0 && !trainsAdapter(config.finetuningType)) {
          const why = "it trains weights of the model itself, which are float32";
          this.#notes.push(`${variant.name}: not with the storage ${storage.name}: ${why}`);
          continue;
        }
        // Keys of the base are for those cells that have a use for them.
        const idle = idleKeys(config);
        const own = variant.items.some(({ name: key }) => idle.includes(key));
        const useful = notes.filter((note) => own || !note.includes("no effect with finetuning_type"));
        for (const note of useful) noted.set(note, (noted.get(note) ?? new Set()).add(variant.name));
        for (const problem of [...problems, ...(config.stage === "cls" ? [NO_CLASSES] : [])]) {
          const key = new ConfigError(problem).message;
          const known = found.get(key) ?? { problem, cells: [] };
          known.cells.push(variant.name);
          found.set(key, known);
        }
        const name = storage?.name ?? storageSettings(config).storage ?? DEFAULT_STORAGE;
        cells.push({ id: `${variant.name}-${name}`, name: variant.name, storage: name, config });
      }
    }
    const isOfAll = (names: ReadonlySet<string>) => names.size === new Set(variants.map(({ name }) => name)).size;
    for (const [note, names] of noted) this.#notes.push(isOfAll(names) ? note : `${[...names].join(", ")}: ${note}`);
    for (const { problem, cells: where } of found.values()) {
      const names = new Set(where);
      const suffix = isOfAll(names) ? "" : ` (cell ${[...names].join(", ")})`;
      this.problems.push({ ...problem, where: `${problem.where ?? this.#path}${suffix}` });
    }
    if (variants.length > 0) this.#checkEvaluated(base);
    return cells;
  }

  /** Undefined: the storage that the keys themselves say. */
  #storagesOf(variant: CellVariant, storages: readonly Variant[]): readonly (Variant | undefined)[] {
    if (storages.length === 0) return [undefined];
    if (variant.storages === undefined) return storages;
    return variant.storages.flatMap((name) => {
      const storage = storages.find((candidate) => candidate.name === name);
      if (storage !== undefined) return [storage];
      const names = storages.map((candidate) => candidate.name);
      const what = "there is no such storage in this comparison";
      this.problems.push({
        where: `${variant.where}: storages (cell ${variant.name})`,
        what,
        got: name,
        expected: names.join(", "),
        hint: `the nearest one is ${nearest(name, names)}`,
      });
      return [];
    });
  }

  #settle(
    items: ReadonlyMap<string, Item>,
    verb: Exclude<Verb, "trainer">,
    decided: Readonly<Record<string, unknown>>,
  ): { config: RunConfig; notes: readonly string[]; problems: readonly Problem[] } {
    const own = Object.entries(decided).map(([name, value]): Item => ({ name, value, where: this.#path }));
    // Those that are refused have been reported; here they would be reported again.
    const given = [...items.values()].filter(({ name }) => name !== "seed" && !NOT_HERE.has(name));
    const { config, notes, problems } = settle([...given, ...own], { verb, path: this.#path });
    return { config: config as RunConfig, notes, problems };
  }

  #checkEvaluated(base: ReadonlyMap<string, Item>): void {
    if (["eval_dataset", "val_size"].some((name) => (base.get(name)?.value ?? null) !== null)) return;
    const known = this.problems.some(({ where }) => where?.includes("do_eval"));
    if (known)
      this.problems.splice(
        this.problems.findIndex(({ where }) => where?.includes("do_eval")),
        1,
      );
    const hint = "eval_dataset: a data set, or val_size: 0.1";
    this.problems.push({ where: `${this.#path}: base`, what: "there is no data to evaluate on", hint });
  }

  #forgetting(sections: ReadonlyMap<SectionName, TreeItem>, base: ReadonlyMap<string, Item>): RunConfig | undefined {
    if (!sections.has("forgetting")) return undefined;
    const items = new Map<string, Item>([["stage", { name: "stage", value: "pt", where: this.#path }]]);
    for (const item of base.values()) if (FORGETTING_FROM_BASE.has(item.name)) items.set(item.name, item);
    for (const item of this.#keys(sections, "forgetting")) {
      if (FORGETTING_KEYS.has(item.name)) {
        items.set(item.name, item);
        continue;
      }
      const hint = `the nearest one is ${nearest(item.name, [...FORGETTING_KEYS])}`;
      this.#report(item, "is no key of data", { hint });
    }
    const { config, problems } = this.#settle(items, "data", { shuffle: false });
    const inBase = new Set([...base.values()].map(({ where, name }) => `${where}: ${name}`));
    this.problems.push(...problems.filter(({ where = "" }) => !inBase.has(where)));
    return config;
  }

  #only(cells: readonly Cell[], only: readonly string[]): readonly Cell[] {
    const names = [...new Set(cells.flatMap(({ name, id }) => [name, id]))];
    for (const name of only.filter((wanted) => !names.includes(wanted))) {
      const hint = `the nearest one is ${nearest(name, names)}`;
      this.problems.push({ where: `${OVERRIDES}: --only`, what: "there is no such cell", got: name, hint });
    }
    return cells.filter(({ name, id }) => only.includes(name) || only.includes(id));
  }

  /** Names become names of files. */
  #checkName(name: string, item: Item): void {
    if (/^[A-Za-z0-9][\w.+-]*$/.test(name)) return;
    this.#report(item, "is no name", { got: name, expected: "letters, digits, and . _ + - between them" });
  }

  #report(item: Item, what: string, more: Omit<Problem, "where" | "what"> = {}): void {
    this.problems.push({ where: `${item.where}: ${item.name}`, what, ...more });
  }
}

function namesIn(value: unknown): readonly string[] | undefined {
  if (typeof value === "string") return value.split(",").map((name) => name.trim());
  return Array.isArray(value) ? value.map(String) : undefined;
}

function shown(item: Item): string {
  return item.source ?? JSON.stringify(item.value);
}
