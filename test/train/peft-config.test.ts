/** What the keys of LLaMA-Factory mean in PEFT's words. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRunConfig } from "../../src/config/read.ts";
import { peftConfigOf } from "../../src/train/peft-config.ts";

const REQUIRED = "model_name_or_path: m\ndataset: d.json\noutput_dir: o\n";

function asked(text: string): { config: Record<string, unknown>; notes: readonly string[] } {
  const { config, notes } = parseRunConfig(REQUIRED + text, "run.yaml");
  return { config: peftConfigOf(config), notes };
}

test("use_dora is the method dora", () => {
  assert.deepEqual([asked("use_dora: true\n").config["method"], asked("").config["method"]], ["dora", "lora"]);
  assert.throws(() => asked("finetuning_type: lora-fa\nuse_dora: true\n"), /use_dora: DoRA is a method of its own/);
});

test("LoRA+ has a ratio, and a rate for embeddings", () => {
  const { config } = asked("loraplus_lr_ratio: 16\nloraplus_lr_embedding: 1.0e-5\n");
  assert.deepEqual([config["loraplusLrRatio"], config["loraplusLrEmbedding"]], [16, 1e-5]);
  assert.ok(!("loraplusLrRatio" in asked("").config));
  assert.match(asked("loraplus_lr_embedding: 1.0e-5\n").notes.join("\n"), /loraplus_lr_embedding: no effect without/);
});

test("PiSSA is a start, exact or in steps, and what is saved is said", () => {
  const start = (text: string) => asked(`pissa_init: true\n${text}`).config["initLoraWeights"];
  assert.deepEqual(
    [start(""), start("pissa_iter: 4\n"), start("pissa_iter: -1\n")],
    ["pissa_niter_16", "pissa_niter_4", "pissa"],
  );
  assert.match(asked("pissa_init: true\n").notes.join("\n"), /pissa_convert: the adapter is saved as a plain LoRA/);
  assert.ok(!asked("pissa_init: true\npissa_convert: true\n").notes.join("\n").includes("pissa_convert"));
  assert.match(asked("pissa_iter: 4\n").notes.join("\n"), /pissa_iter: no effect without pissa_init/);
});
