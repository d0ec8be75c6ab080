/** A classifier from data to use: `lowrank train` with stage: cls, `lowrank classify`, `lowrank export`, on the bundled model. */
import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { runClassify } from "../../../src/cli/classify/run-classify.ts";
import { runData } from "../../../src/cli/data/run-data.ts";
import { runTrain } from "../../../src/cli/train/run-train.ts";
import { AutoModelForCausalLM } from "../../../src/lm/causal-lm-model.ts";
import { exportModel } from "../../../src/lm/export-model.ts";
import { PeftModel } from "../../../src/lm/peft-model.ts";
import { complaint, jsonLines, temporaryFolder } from "../../support/dataset-files.ts";

const MODEL = fileURLToPath(new URL("../../../../bundled/model", import.meta.url));
const { root, write } = await temporaryFolder();
const adapter = join(root, "adapter");

const PLACES = ["harbour", "lamp", "boat", "garden", "kitchen", "street", "tower", "beach"];
const WORDS = { good: ["bright", "warm", "lovely", "kind"], bad: ["broken", "cold", "dirty", "dark"] } as const;

/**
 * Every word with every place, less a quarter, or only that quarter: the class is in one word, which is not the last, and a
 * pair that is held back tells whether it was learnt from the word.
 */
function samples(part: "train" | "held"): { sentence: string; label: string }[] {
  return Array.from({ length: 64 }, (_, i) => ({ word: (i >> 1) % 4, place: i >> 3, good: i % 2 === 0 }))
    .filter(({ word, place }) => ((word + place) % 4 === 0) === (part === "held"))
    .map(({ word, place, good }) => ({
      sentence: `The ${PLACES[place]!} was ${WORDS[good ? "good" : "bad"][word]!} again this morning.`,
      label: good ? "good" : "bad",
    }));
}

interface Line {
  readonly text: string;
  readonly label: string;
  readonly score: number;
  readonly scores: Readonly<Record<string, number>>;
}

const said: string[] = [];
const log = { write: (text: string) => (said.push(text), true) };

async function lines(model: string, texts: readonly string[], options: object = {}): Promise<Line[]> {
  const printed: string[] = [];
  said.length = 0;
  const out = { write: (text: string) => (printed.push(text), true) };
  await runClassify(model, texts, { batchSize: 4, threads: 1, json: true, ...options }, { out, log });
  return printed
    .join("")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
}

const held = await write("held.jsonl", jsonLines(samples("held")));

const config = (out: string, more: readonly string[] = []) => [
  `model_name_or_path=${MODEL}`,
  "stage=cls",
  `dataset=${join(root, "set")}`,
  `eval_dataset=${held}`,
  "lora_rank=4",
  `output_dir=${out}`,
  "per_device_train_batch_size=8",
  "learning_rate=5e-3",
  "num_train_epochs=6",
  "eval_strategy=epoch",
  "metric_for_best_model=eval_accuracy",
  "logging_steps=5",
  "threads=1",
  "cutoff_len=24",
  ...more,
];

await write("set/labels.json", '["good", "bad"]');
await write(
  "set/train.jsonl",
  jsonLines([...samples("train"), { sentence: "What is this?", label: "ugly" }, { label: "good" }]),
);

suite("a classifier, from its data to its use", () => {
  before(async () => {
    await runTrain(undefined, config(adapter), { log });
  });

  test("the report says what there is to learn; results, log and card have the accuracy", async () => {
    const report = said.join("");
    assert.match(report, /class {2}label {2}examples {2}share/);
    assert.match(report, / 0 {2}good +24 +50.0%/);
    assert.match(report, /1 \(2.0%\) bad: label "ugly" is none of "good", "bad"/);
    assert.match(report, /train\.jsonl:49/);
    assert.match(report, /column "sentence" is missing/);
    assert.match(report, /labels: .*labels\.json; always saying "good" is right for 50.0%/);
    assert.match(report, /starts at random, and is trained: score\.weight/);
    assert.match(report, /eval_accuracy 0\.\d+|eval_accuracy 1/);
    const read = async (name: string) => readFile(join(adapter, name), "utf8");
    const results = JSON.parse(await read("eval_results.json")) as Record<string, number>;
    assert.ok(results["eval_accuracy"]! > 0.9, `accuracy ${results["eval_accuracy"]}`);
    assert.equal(results["eval_perplexity"], undefined);
    const settings = JSON.parse(await read("adapter_config.json")) as Record<string, unknown>;
    assert.deepEqual([settings["task_type"], settings["modules_to_save"]], ["SEQ_CLS", ["score"]]);
    assert.deepEqual(JSON.parse(await read("labels.json")), ["good", "bad"]);
    assert.match(await read("training_args.yaml"), /stage: cls\n(.*\n)*labels: good,bad\n/);
    const card = await read("README.md");
    assert.match(card, /pipeline_tag: text-classification/);
    assert.match(card, /- Accuracy: /);
    assert.match(card, /AutoModelForSequenceClassification.from_pretrained\(\n.*num_labels=len\(labels\)/);
  });

  test("texts, pairs and files are classified; a file with classes tells how often that is right", async () => {
    const found = await lines(adapter, [
      "The lamp was lovely again this morning.",
      "The boat was broken again this morning.",
    ]);
    assert.deepEqual(
      found.map(({ label }) => label),
      ["good", "bad"],
    );
    for (const { score, scores, label } of found) {
      assert.equal(score, scores[label]);
      assert.ok(Math.abs(scores["good"]! + scores["bad"]! - 1) < 1e-6);
    }
    const results = JSON.parse(await readFile(join(adapter, "eval_results.json"), "utf8")) as Record<string, number>;
    const all = await lines(adapter, [], { input: held });
    assert.equal(all.length, 16);
    const [, accuracy] = /accuracy ([\d.]+)/.exec(said.join(""))!;
    assert.equal(accuracy, results["eval_accuracy"]!.toFixed(4));
    assert.match(await complaint(lines(adapter, [])), /there is no text/);
    assert.match(await complaint(lines(MODEL, ["x"])), /tells no classes yet.*stage: cls trains one/s);
  });

  test("an exported classifier is checked, and gives the same probabilities", async () => {
    const out = join(root, "merged");
    const { report } = await exportModel({ model: MODEL, adapters: [adapter], out, threads: 1 });
    assert.equal(report.verdict, "passed");
    assert.deepEqual(report.export.labels, ["good", "bad"]);
    assert.ok(report.adapter_effect!.max_logit_difference > 0.1);
    const written = JSON.parse(await readFile(join(out, "config.json"), "utf8")) as Record<string, unknown>;
    assert.deepEqual(written["architectures"], ["Qwen2ForSequenceClassification"]);
    assert.deepEqual(written["id2label"], { 0: "good", 1: "bad" });
    assert.equal(typeof written["pad_token_id"], "number");
    const texts = samples("held").map(({ sentence }) => sentence);
    const [before, after] = [await lines(adapter, texts), await lines(out, texts)];
    before.forEach(({ score, label }, i) => {
      assert.equal(after[i]!.label, label);
      assert.ok(Math.abs(after[i]!.score - score) < 1e-5);
    });
    // A classifier knows the order of its classes, whatever the data says.
    await rm(join(root, "set", "labels.json"));
    said.length = 0;
    const options = { out: { write: (text: string) => (said.push(text), true) }, log };
    await runData(undefined, [...config(join(root, "no")), `model_name_or_path=${out}`], {}, options);
    assert.match(said.join(""), / 0 {2}good .*\n +1 {2}bad /);
    await runData(undefined, config(join(root, "no")), {}, options);
    assert.match(said.join(""), / 0 {2}bad .*\n +1 {2}good /);
    await write("set/labels.json", '["good", "bad"]');
  });

  test("an adapter for classes does not go on with texts, and is told so", async () => {
    const model = await AutoModelForCausalLM.fromPretrained(MODEL, { threads: 1 });
    try {
      const message = await complaint(PeftModel.fromPretrained(model, adapter));
      assert.match(message, /tells the classes of texts, and the model goes on with texts.*lowrank classify/s);
    } finally {
      await model.dispose();
    }
  });

  test("training goes on with a classifier's adapter, in the order of its classes", async () => {
    await rm(join(root, "set", "labels.json"));
    said.length = 0;
    const more = [`adapter_name_or_path=${adapter}`, "max_steps=1", "eval_strategy=no"];
    await runTrain(undefined, config(join(root, "more"), more), { log });
    await write("set/labels.json", '["good", "bad"]');
    assert.match(said.join(""), / 0 {2}good /);
    assert.deepEqual(JSON.parse(await readFile(join(root, "more", "labels.json"), "utf8")), ["good", "bad"]);
    const [found] = await lines(join(root, "more"), ["The garden was dirty again this morning."]);
    assert.equal(found!.label, "bad");
  });
});
