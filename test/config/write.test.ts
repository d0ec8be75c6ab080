/** `training_args.yaml` runs the same run again, and Python reads it too. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { parseRunConfig, readRunConfig } from "../../src/config/read.ts";
import { formatRunConfig, writeRunConfig } from "../../src/config/write.ts";
import { TRAIN } from "./llama-factory.ts";

const ODD = `model_name_or_path: "models/a: b #1"
dataset: ["a, b.json", c.jsonl]
mix_strategy: interleave_over
interleave_probs: 0.25, 0.75
default_system: "Say \\"no\\",\\nor yes: # really"
lora_target: [q_proj]
lora_alpha: 10
learning_rate: 1e-7
lr_scheduler_type: polynomial
lr_scheduler_kwargs: {power: 2, lr_end: 1.0e-9}
run_name: "null"
output_dir: "no"
model_revision: "1e5"
disable_shuffling: true
report_to: tensorboard
resume_from_checkpoint: true
val_size: 0.1
eval_strategy: epoch
gradient_checkpointing: true
`;

suite("training_args.yaml", () => {
  for (const [name, text] of [
    ["LLaMA-Factory's example", TRAIN],
    ["odd values", ODD],
    ["plain text, every weight", "model_name_or_path: m\ndataset: d\nstage: pt\nfinetuning_type: full\n"],
    ["some layers", "model_name_or_path: m\ndataset: d\nfinetuning_type: freeze\nfreeze_trainable_layers: -1\n"],
  ] as const) {
    test(`${name}: what is read from it is what was written`, () => {
      const { config } = parseRunConfig(text, "run.yaml");
      assert.deepEqual(parseRunConfig(formatRunConfig(config), "training_args.yaml").config, config);
    });
  }

  test("as YAML 1.1 has it: an exponent follows a point, and no is in quotes", () => {
    const text = formatRunConfig(parseRunConfig(ODD, "run.yaml").config);
    assert.match(text, /^learning_rate: 1\.0e-7$/m);
    assert.match(text, /^adam_epsilon: 1\.0e-8$/m);
    assert.match(text, /^output_dir: "no"$/m);
    assert.match(text, /^lora_target: q_proj$/m);
    assert.match(text, /^model_revision: "1e5"$/m);
    assert.doesNotMatch(text, /run_name|disable_shuffling|freeze_/, "only what decides something");
  });

  test("no secrets", () => {
    const { config } = parseRunConfig(TRAIN, "run.yaml", ["hf_hub_token=hf_abc"]);
    assert.equal(config.hfHubToken, "hf_abc");
    assert.doesNotMatch(formatRunConfig(config), /hf_/);
  });

  test("is written whole, into a new folder", async () => {
    const folder = mkdtempSync(join(tmpdir(), "lowrank-config-"));
    try {
      const { config } = parseRunConfig(TRAIN, "run.yaml");
      const path = join(folder, "new", "training_args.yaml");
      await writeRunConfig(path, config);
      assert.deepEqual((await readRunConfig(path)).config, config);
      assert.deepEqual(readdirSync(join(folder, "new")), ["training_args.yaml"], "nothing is left beside it");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
