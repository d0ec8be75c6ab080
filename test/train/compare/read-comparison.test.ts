/** The file of a comparison: which cells it has, and everything that is wrong with it at once. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { FINETUNING_TYPES } from "../../../src/config/methods.ts";
import { ConfigError } from "../../../src/errors.ts";
import { withSeed } from "../../../src/train/compare/comparison.ts";
import { type ComparisonOptions, parseComparison } from "../../../src/train/compare/read-comparison.ts";

const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));

const BASE = `base:
  model_name_or_path: some/model
  dataset: a.jsonl
  eval_dataset: b.jsonl
  learning_rate: 1e-3
  max_steps: 5
`;

const read = (text: string, options?: ComparisonOptions) => parseComparison(text, "c.yaml", options);
const messageOf = (text: string, options?: ComparisonOptions): string => {
  try {
    read(text, options);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.message;
  }
  assert.fail("it was accepted");
};

describe("cells", () => {
  test("have the keys of the base, of their storage, and their own, the last of which win", () => {
    const { cells, seeds, tokenBudget, notes } = read(`${BASE}
seeds: [3, 1]
token_budget: 1000
storages:
  float32:
  four: { storage: nf4, learning_rate: 2e-3 }
cells:
  lora:
    lora_rank: 4
  hot:
    learning_rate: 0.5
    storages: [four]
  full:
    finetuning_type: full
`);
    assert.deepEqual(
      cells.map(({ id, name, storage }) => [id, name, storage]),
      [
        ["lora-float32", "lora", "float32"],
        ["lora-four", "lora", "four"],
        ["hot-four", "hot", "four"],
        // Every weight is trained: there are no frozen ones to store.
        ["full-float32", "full", "float32"],
      ],
    );
    assert.deepEqual(
      cells.map(({ config }) => [config.learningRate, config.storage, config.loraRank]),
      [
        [1e-3, null, 4],
        [2e-3, "nf4", 4],
        [0.5, "nf4", 8],
        [1e-3, null, 8],
      ],
    );
    assert.deepEqual([seeds, tokenBudget], [[3, 1], 1000]);
    assert.equal(notes.filter((note) => note.startsWith("full: not with the storage four")).length, 1);
    for (const { config } of cells) {
      assert.deepEqual([config.seed, config.maxSteps, config.doEval, config.evalStrategy], [3, 5, true, "no"]);
      assert.deepEqual([config.saveStrategy, config.loggingSteps, config.reportTo], ["no", 1, []]);
    }
  });

  test("a storage that the keys of a run ask for names the cell", () => {
    const { cells } = read(`${BASE}cells:\n  a: { quantization_bit: 4 }\n  b: { storage: int8 }\n  c: {}\n`);
    assert.deepEqual(
      cells.map(({ id }) => id),
      ["a-nf4", "b-int8", "c-float32"],
    );
  });

  test("methods: all has every method of the registry, in each storage that it can have", () => {
    const { cells, notes } = read(`${BASE}storages: [float32, int8]\nmethods: all\ncells:\n  lora: {lora_rank: 2}\n`);
    assert.deepEqual(
      [...new Set(cells.map(({ config }) => config.finetuningType))].toSorted(),
      [...FINETUNING_TYPES].toSorted(),
    );
    assert.equal(cells.length, 2 * FINETUNING_TYPES.length - 2);
    assert.deepEqual(
      cells.filter(({ name }) => name === "lora").map(({ config }) => config.loraRank),
      [2, 2],
    );
    assert.ok(notes.some((note) => /vera.*without a cell of their name/.test(note)));
  });

  test("the command line replaces keys of the base, seeds and budget, and chooses cells", () => {
    const text = `${BASE}seeds: [3]\ncells:\n  a: {}\n  b: { learning_rate: 0.5 }\n  c: {}\n`;
    const options = { overrides: ["learning_rate=1e-4", "token_budget=77"], seeds: [8, 9], only: ["a", "b-float32"] };
    const { cells, seeds, tokenBudget } = read(text, options);
    assert.deepEqual(
      cells.map(({ name, config }) => [name, config.learningRate, config.seed]),
      [
        ["a", 1e-4, 8],
        ["b", 0.5, 8],
      ],
    );
    assert.deepEqual([seeds, tokenBudget], [[8, 9], 77]);
  });

  test("another seed is another order of the data, unless the base has a data_seed", () => {
    const [free] = read(`${BASE}seeds: [3, 4]\ncells:\n  a: {}\n`).cells;
    const [fixed] = read(`${BASE}  data_seed: 11\nseeds: [3, 4]\ncells:\n  a: {}\n`).cells;
    assert.deepEqual([withSeed(free!.config, 3, 4).seed, withSeed(free!.config, 3, 4).dataSeed], [4, 4]);
    assert.deepEqual([withSeed(fixed!.config, 3, 4).seed, withSeed(fixed!.config, 3, 4).dataSeed], [4, 11]);
  });

  test("the forgetting text has the model of the base, plain text, and its own keys", () => {
    const { forgetting } = read(`${BASE}  cutoff_len: 64\nforgetting: { dataset: old.txt }\ncells:\n  a: {}\n`);
    assert.deepEqual(
      [forgetting?.modelNameOrPath, forgetting?.dataset, forgetting?.stage, forgetting?.cutoffLen, forgetting?.shuffle],
      ["some/model", ["old.txt"], "pt", 64, false],
    );
  });
});

describe("what is wrong", () => {
  test("is said all at once, with lines; a problem of the base once, one of a cell with its name", () => {
    const message = messageOf(`base:
  model_name_or_path: some/model
  dataset: a.jsonl
  eval_dataset: b.jsonl
  learning_rate: fast
  seed: 3
  save_steps: 10
sede: 4
seeds: [1, 1]
forgetting:
  dataset: old.txt
  lora_rank: 3
cells:
  a: {}
  b:
    lora_rnk: 4
    dataset: other.jsonl
    storages: [nf4]
  c d: {}
  e: 7
`);
    const expected = [
      /c\.yaml:5: learning_rate: is not what it should be/,
      /c\.yaml:6: seed: is no key of base\n.*hint: seeds:/,
      /c\.yaml:7: save_steps: is decided by the comparison itself/,
      /c\.yaml:8: sede: there is no such part of a comparison.*\n.*nearest one is seeds/,
      /c\.yaml:9: seeds: is not what it should be/,
      /c\.yaml:12: lora_rank: is no key of data/,
      /c\.yaml:16: lora_rnk \(cell b\): there is no such key\n.*lora_rank/,
      /c\.yaml:17: dataset: has to be the same in all cells/,
      /c\.yaml:19: c d: is no name/,
      /c\.yaml:20: e: is not a list of keys/,
    ];
    for (const pattern of expected) assert.match(message, pattern);
    assert.equal(message.match(/learning_rate: is not/g)?.length, 1);
  });

  test("keys of a run outside of base, no cells, no data to evaluate on, no base", () => {
    assert.match(messageOf("model_name_or_path: x\n"), /1: model_name_or_path: .*\n.*keys of a run go below base:/);
    assert.match(messageOf(BASE), /cells: there is nothing to compare/);
    const noEval = BASE.replace("  eval_dataset: b.jsonl\n", "");
    const message = messageOf(`${noEval}cells:\n  a: {}\n  b: {}\n`);
    assert.equal(message.match(/there is no data to evaluate on/g)?.length, 1);
    assert.match(messageOf("cells:\n  a: {}\n"), /c\.yaml: base: a comparison needs it/);
  });

  test("names that are none: methods, storages, cells of the command line", () => {
    assert.match(messageOf(`${BASE}methods: [lora, verra]\n`), /finetuning_type.*got verra/);
    assert.match(messageOf(`${BASE}storages: [float32, nf5]\ncells:\n  a: {}\n`), /storage.*got "?nf5/);
    const narrow = `${BASE}storages: [float32, nf4]\ncells:\n  a: { storages: [nf] }\n`;
    assert.match(messageOf(narrow), /storages \(cell a\): there is no such storage in this comparison: got nf/);
    const only = messageOf(`${BASE}cells:\n  lora: {}\n`, { only: ["lara"] });
    assert.match(only, /--only: there is no such cell: got lara\n.*nearest one is lora/);
  });
});

describe("recipes", () => {
  const files = readdirSync(`${ROOT}recipes`).filter((name) => /^compare-.*\.yaml$/.test(name));
  for (const file of files) {
    test(`${file} is right, and the list has it`, () => {
      const { notes } = parseComparison(readFileSync(`${ROOT}recipes/${file}`, "utf8"), file);
      // A new method of the registry has no learning rate of its own at first, and is compared with that of base.
      assert.deepEqual(
        notes.filter((note) => !note.startsWith("packing") && !note.includes("without a cell of their name")),
        [],
      );
      assert.ok(readFileSync(`${ROOT}recipes/README.md`, "utf8").includes(`(${file})`));
    });
  }
});
