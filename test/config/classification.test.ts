/** Keys of stage: cls, and those that do not go with it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRunConfig } from "../../src/config/read.ts";
import { formatRunConfig } from "../../src/config/write.ts";
import { complaint } from "../support/dataset-files.ts";

const BASE = "model_name_or_path: m\ndataset: d.jsonl\nval_size: 0.1\neval_strategy: epoch\n";
const read = (text: string) => parseRunConfig(`${BASE}${text}`, "run.yaml");
const refused = async (text: string) => complaint((async () => read(text))());

test("stage: cls and task_type: SEQ_CLS are one", async () => {
  assert.equal(read("stage: cls").config.stage, "cls");
  assert.equal(read("task_type: SEQ_CLS").config.stage, "cls");
  assert.equal(read("task_type: CAUSAL_LM").config.stage, "sft");
  assert.match(await refused("stage: sft\ntask_type: SEQ_CLS"), /run.yaml:6: task_type: contradicts stage: sft/);
  assert.match(await refused("stage: cls\ntask_type: CAUSAL_LM"), /task_type: contradicts stage: cls/);
  assert.match(await refused("task_type: TOKEN_CLS"), /this task is not there yet/);
});

test("what best means, and which way, follows from the metric", async () => {
  const { config } = read("stage: cls\nmetric_for_best_model: eval_accuracy");
  assert.deepEqual([config.metricForBestModel, config.greaterIsBetter], ["accuracy", true]);
  const loss = read("stage: cls").config;
  assert.deepEqual([loss.metricForBestModel, loss.greaterIsBetter], ["loss", false]);
  assert.match(
    read("stage: cls\nmetric_for_best_model: f1\ngreater_is_better: false").notes.join(),
    /smaller f1 .* worse model/,
  );
  assert.match(await refused("stage: cls\nmetric_for_best_model: perplexity"), /classes have no perplexity/);
  assert.match(await refused("metric_for_best_model: accuracy"), /is there in stage: cls only/);
});

test("keys of conversations are refused in stage cls, and keys of classes elsewhere", async () => {
  const chat = await refused("stage: cls\npacking: true\ntemplate: qwen\nmask_history: true\ntrain_on_prompt: true");
  for (const key of ["packing", "template", "mask_history", "train_on_prompt"]) {
    assert.match(chat, new RegExp(`: ${key}: has no meaning with stage: cls`));
  }
  const classes = await refused("labels: a,b\nnum_labels: 2\ntext_column_names: x\nlabel_column_name: y");
  for (const key of ["labels", "num_labels", "text_column_names", "label_column_name"]) {
    assert.match(classes, new RegExp(`: ${key}: goes with stage: cls`));
  }
  assert.match(await refused("stage: cls\nlabels: a,b,c\nnum_labels: 2"), /num_labels: is not the number of labels/);
  assert.match(await refused("stage: cls\nlabels: a"), /needs two classes/);
  assert.match(await refused("stage: cls\ntext_column_names: a,b,c"), /two texts at most/);
  assert.match(await refused("stage: cls\nfinetuning_type: full\ntrain_from_scratch: true"), /starts from a model/);
});

test("training_args.yaml reads as it was written, and has keys of classes with classes only", () => {
  const { config } = read('stage: cls\nlabels: ["not good", good]\ntext_column_names: a,b');
  const text = formatRunConfig(config);
  const again = parseRunConfig(text, "again.yaml").config;
  assert.deepEqual(again.labels, ["not good", "good"]);
  assert.deepEqual(again, { ...config });
  assert.doesNotMatch(formatRunConfig(read("stage: sft").config), /labels|label_column_name/);
});
