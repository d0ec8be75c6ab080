import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import {
  hyperparameters,
  modelCard,
  type ModelCardOptions,
  writeModelCard,
} from "../../../src/train/run/model-card.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const HISTORY = [
  { epoch: 0.5, grad_norm: 1.25, learning_rate: 9e-5, loss: 2.123456, step: 10 },
  { epoch: 0.5, eval_loss: 1.98765432, eval_perplexity: 7.25, eval_runtime: 1.5, eval_steps_per_second: 1, step: 10 },
  { epoch: 1, eval_loss: 1.5, eval_perplexity: 4.4816890703, eval_runtime: 1.5, eval_steps_per_second: 1, step: 20 },
  { epoch: 1, step: 20, train_loss: 2, train_runtime: 3 },
];

const OPTIONS: ModelCardOptions = {
  name: "sft",
  baseModel: "Qwen/Qwen2.5-0.5B",
  license: "apache-2.0",
  finetuningType: "lora",
  datasets: ["identity", "alpaca_en_demo"],
  hyperparameters: hyperparameters({
    learningRate: 1e-4,
    trainBatchSize: 1,
    evalBatchSize: 8,
    seed: 42,
    gradientAccumulationSteps: 8,
    optimizer: "adamw_torch with betas=(0.9,0.999) and epsilon=1e-08",
    lrSchedulerType: "cosine",
    warmupSteps: 3,
    numTrainEpochs: 3,
    adapter: { lora_rank: 8, lora_alpha: 16 },
  }),
  logHistory: HISTORY,
  versions: { lowrank: "0.1.0", "onnxruntime-node": "1.30.0" },
};

suite("model card", () => {
  test("an adapter's front matter is the one that PEFT and transformers write", () => {
    assert.equal(
      modelCard(OPTIONS).split("---\n")[1],
      `library_name: peft
license: apache-2.0
base_model: Qwen/Qwen2.5-0.5B
tags:
- base_model:adapter:Qwen/Qwen2.5-0.5B
- generated_from_trainer
- lora
- lowrank
- transformers
pipeline_tag: text-generation
model-index:
- name: sft
  results: []
`,
    );
  });

  test("the table is the one of transformers", () => {
    // What make_markdown_table(parse_log_history(HISTORY)[1]) of transformers gives.
    const table = `| Training Loss | Epoch | Step | Validation Loss | Perplexity |
|:-------------:|:-----:|:----:|:---------------:|:----------:|
| 2.1235        | 0.5   | 10   | 1.9877          | 7.25       |
| 2.1235        | 1.0   | 20   | 1.5             | 4.4817     |
`;
    const card = modelCard(OPTIONS);
    assert.ok(card.includes(table), card);
    assert.ok(card.includes("on the evaluation set:\n\n- Loss: 1.5\n- Perplexity: 4.4817\n"), card);
  });

  test("settings, data, use and versions are said", () => {
    const card = modelCard(OPTIONS);
    for (const part of [
      "[Qwen/Qwen2.5-0.5B](https://huggingface.co/Qwen/Qwen2.5-0.5B) on the identity and the alpaca_en_demo datasets.",
      "- learning_rate: 0.0001\n- train_batch_size: 1\n- eval_batch_size: 8\n- seed: 42\n" +
        "- gradient_accumulation_steps: 8\n- total_train_batch_size: 8\n- optimizer: Use adamw_torch with betas",
      "- lr_scheduler_warmup_steps: 3\n- num_epochs: 3\n- lora_rank: 8\n- lora_alpha: 16\n",
      "npx lowrank chat --model Qwen/Qwen2.5-0.5B --adapter",
      "### Framework versions\n\n- lowrank 0.1.0\n- onnxruntime-node 1.30.0\n",
    ]) {
      assert.ok(card.includes(part), `${part}\nis not in\n${card}`);
    }
  });

  test("whole weights from scratch have no base model, no evaluation has no table", () => {
    const { baseModel: _, license: __, ...rest } = OPTIONS;
    const card = modelCard({ ...rest, finetuningType: "full", datasets: ["c4"], logHistory: [] });
    assert.match(card, /library_name: transformers\ntags:\n- generated_from_trainer\n- lowrank/);
    assert.match(card, /trained from scratch on the c4 dataset\./);
    assert.doesNotMatch(card, /base_model|Training results|peft/);
    assert.match(modelCard({ ...OPTIONS, finetuningType: "full" }), /- base_model:finetune:Qwen/);
  });

  test("a path that YAML would misread is quoted, and is no link", async (context) => {
    const dir = await temporaryFolder(context);
    await writeModelCard(dir, { ...OPTIONS, baseModel: "/models/a: b#c", name: "yes" });
    const card = await readFile(join(dir, "README.md"), "utf8");
    assert.match(card, /^base_model: "\/models\/a: b#c"$/m);
    assert.match(card, /^- "base_model:adapter:\/models\/a: b#c"$/m);
    assert.match(card, /^- name: "yes"$/m);
    assert.match(card, /version of `\/models\/a: b#c` on/);
  });
});
