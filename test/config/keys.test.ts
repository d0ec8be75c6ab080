/** The registry of keys, the page that is written from it, and the recipes. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { configurationDocs } from "../../scripts/configuration-docs.ts";
import { ENTRIES } from "../../src/config/keys.ts";
import { readRunConfig } from "../../src/config/read.ts";
import { Wrong } from "../../src/config/type.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** Of transformers 5.23's Seq2SeqTrainingArguments and LLaMA-Factory's arguments, those with a default of their own. */
const DEFAULTS: Record<string, unknown> = {
  per_device_train_batch_size: 8,
  gradient_accumulation_steps: 1,
  learning_rate: 5e-5,
  weight_decay: 0,
  adam_beta1: 0.9,
  adam_beta2: 0.999,
  adam_epsilon: 1e-8,
  max_grad_norm: 1,
  num_train_epochs: 3,
  max_steps: -1,
  lr_scheduler_type: "linear",
  logging_steps: 500,
  save_strategy: "steps",
  save_steps: 500,
  eval_strategy: "no",
  seed: 42,
  ddp_timeout: 1800,
  cutoff_len: 2048,
  dataset_dir: "data",
  buffer_size: 16384,
  lora_rank: 8,
  lora_target: "all",
  freeze_trainable_layers: 2,
  pissa_iter: 16,
  pref_beta: 0.1,
  galore_rank: 16,
  badam_switch_interval: 50,
  swanlab_project: "llamafactory",
  temperature: 0.95,
  top_p: 0.7,
  top_k: 50,
  export_size: 5,
  vllm_maxlen: 4096,
};

suite("the registry", () => {
  test("has each key once, in snake_case, and no two in one camelCase", () => {
    assert.equal(new Set(ENTRIES.map(({ name }) => name)).size, ENTRIES.length);
    assert.equal(new Set(ENTRIES.map(({ camel }) => camel)).size, ENTRIES.length);
    for (const { name } of ENTRIES) assert.match(name, /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/);
  });

  test("every default is accepted by its own type", () => {
    for (const { name, key } of ENTRIES) {
      if (key.byDefault === "" || key.status === "inert") continue;
      assert.ok(!(key.type.parse({ value: key.byDefault }) instanceof Wrong), name);
    }
  });

  test("the defaults are theirs", () => {
    const own = new Map<string, unknown>(ENTRIES.map(({ name, key }) => [name, key.byDefault]));
    for (const [name, value] of Object.entries(DEFAULTS)) assert.deepEqual(own.get(name), value, name);
  });

  test("what is not honoured says why, and what is folded says where to", () => {
    for (const { name, key } of ENTRIES) {
      if (key.status === "folded")
        assert.ok(ENTRIES.some((entry) => entry.name === key.why && entry.key.status === "honoured"));
      else if (key.status !== "honoured") assert.ok(key.why.length > 5, name);
    }
  });
});

test("docs/configuration.md is up to date: npm run build && node dist/scripts/configuration-docs.js", async () => {
  assert.equal(readFileSync(`${ROOT}docs/configuration.md`, "utf8"), await configurationDocs());
});

suite("recipes", () => {
  // Comparisons and sequences of tasks are no runs: they have tests of their own.
  const files = readdirSync(`${ROOT}recipes`).filter((name) => !/^(compare|continual)-/.test(name));
  for (const file of files.filter((name) => name.endsWith(".yaml"))) {
    test(`${file} is right, and the list has it`, async () => {
      const { config, notes } = await readRunConfig(`${ROOT}recipes/${file}`);
      assert.match(config.outputDir, /^(saves|lowrank-out)\//);
      for (const note of notes) assert.match(note, /^(bf16|packing)/);
      assert.ok(readFileSync(`${ROOT}recipes/README.md`, "utf8").includes(`(${file})`));
    });
  }
});
