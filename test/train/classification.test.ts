/** Training classifiers against transformers' Trainer with PEFT (task_type SEQ_CLS): golden/make/classification.py. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, suite, test } from "node:test";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import {
  AutoModelForSequenceClassification,
  type SequenceClassificationModel,
} from "../../src/lm/classification-model.ts";
import { getPeftModel, PeftModel } from "../../src/lm/peft-model.ts";
import { ClassCounter } from "../../src/train/class-metrics.ts";
import { unfrozen } from "../../src/train/freeze.ts";
import type { TrainRow } from "../../src/train/train-rows.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { complaint } from "../support/dataset-files.ts";

interface Metrics {
  readonly eval_loss: number;
  readonly eval_accuracy: number;
  readonly eval_f1: number;
}

interface Golden {
  readonly classes: number;
  readonly rows: readonly TrainRow[];
  readonly evaluation: readonly TrainRow[];
  readonly log: readonly { step: number; epoch: number; loss: number; grad_norm: number; learning_rate: number }[];
  readonly before: Metrics;
  readonly after: Metrics;
  readonly logits: readonly (readonly number[])[];
}

const goldenOf = (name: string) => JSON.parse(readFileSync(`golden/classification/${name}/run.json`, "utf8")) as Golden;
const golden = goldenOf("qwen2");
/** transformers' run has one batch of 4 for each step: how a step is divided must not matter. */
const ARGS = {
  perDeviceTrainBatchSize: 2,
  gradientAccumulationSteps: 2,
  perDeviceEvalBatchSize: 5,
  learningRate: 0.02,
  weightDecay: 0.1,
  maxGradNorm: 0.6,
  numTrainEpochs: 5,
  lrSchedulerType: "linear",
  warmupSteps: 2,
  loggingSteps: 1,
  seed: 7,
  shuffle: false,
} as const;

suite("training of a classifier", () => {
  let base: SequenceClassificationModel;
  let dir: string;
  before(async () => {
    const options = { threads: 1, labels: ["no", "perhaps", "yes"], padTokenId: 0 };
    base = await AutoModelForSequenceClassification.fromPretrained("golden/causal-lm/qwen2-tied", options);
    dir = await mkdtemp(join(tmpdir(), "lowrank-classifier-"));
  });
  afterEach(async () => {
    for (const name of base.language.adapters.keys()) await base.language.remove(name);
  });
  after(async () => {
    await base.dispose();
    await rm(dir, { recursive: true, force: true });
  });

  const start = () =>
    PeftModel.fromPretrained(base, "golden/classification/qwen2/adapter", {
      isTrainable: true,
      onWarning: (warning) => assert.fail(warning),
    });

  for (const [name, folder, padTokenId] of [
    ["qwen2", "golden/causal-lm/qwen2-tied", 0],
    ["roberta", "golden/text-heads/roberta-classes", 3],
  ] as const) {
    test(`${name}: losses, norms, rates, accuracies, logits and the file of transformers and PEFT`, async () => {
      const { rows, evaluation, log, before, after, logits: expected } = goldenOf(name);
      const own = await AutoModelForSequenceClassification.fromPretrained(folder, {
        threads: 1,
        numLabels: 3,
        padTokenId,
      });
      const model = await PeftModel.fromPretrained(own, `golden/classification/${name}/adapter`, {
        isTrainable: true,
        onWarning: (warning) => assert.fail(warning),
      });
      try {
        const trainer = new Trainer({
          model,
          trainDataset: rows,
          evalDataset: evaluation,
          args: ARGS,
          padId: padTokenId,
        });
        sameMetrics(await trainer.evaluate(), before);
        const { logHistory } = await trainer.train();
        assert.equal(logHistory.length, log.length);
        for (const [i, row] of log.entries()) {
          const ours = logHistory[i]!;
          assert.equal(ours["step"], row.step);
          assert.equal(ours["epoch"], row.epoch);
          near(ours["loss"]!, row.loss, 1e-5, `loss of step ${row.step}`);
          near(ours["gradNorm"]!, row.grad_norm, 1e-4, `norm of step ${row.step}`);
          near(ours["learningRate"]!, row.learning_rate, 1e-12, `rate of step ${row.step}`);
        }
        sameMetrics(await trainer.evaluate(), after);
        // transformers' names, in the log too; classes have no perplexity.
        const evaluated = trainer.history.at(-1)!;
        near(evaluated["eval_accuracy"]!, after.eval_accuracy, 1e-12, "accuracy in the log");
        assert.equal(evaluated["eval_perplexity"], undefined);

        const length = Math.max(...evaluation.map(({ inputIds }) => inputIds.length));
        const padded = (filler: number, value: (row: TrainRow, i: number) => number) =>
          evaluation.map((row) => Array.from({ length }, (_, i) => (i < row.inputIds.length ? value(row, i) : filler)));
        const { logits } = await model.forward({
          inputIds: padded(padTokenId, ({ inputIds }, i) => inputIds[i]!),
          attentionMask: padded(0, () => 1),
        });
        expected.flat().forEach((logit, i) => near(logits[i]!, logit, 1e-3, `logit ${i}`));

        await model.savePretrained(join(dir, name));
        await equalAdapters(join(dir, name), `golden/classification/${name}/trained`, 5e-4);
        const file = await readFile(join(dir, name, "adapter_config.json"), "utf8");
        const config = JSON.parse(file) as { task_type: string; modules_to_save: string[] };
        assert.equal(config.task_type, "SEQ_CLS");
        assert.ok(config.modules_to_save.includes(name === "qwen2" ? "score" : "classifier"));
      } finally {
        await model.dispose();
      }
    });
  }

  test("a run that is stopped and resumed takes the same steps, bit for bit", async () => {
    const args = { ...ARGS, shuffle: true, saveSteps: 4, evalStrategy: "steps", evalSteps: 5 } as const;
    const run = async (name: string, resumeFrom?: string) => {
      const model = await start();
      const outputDir = join(dir, name);
      const stop = new AbortController();
      const trainer = new Trainer({
        model,
        trainDataset: golden.rows,
        evalDataset: golden.evaluation,
        args: { ...args, outputDir, metricForBestModel: "accuracy" },
        callbacks:
          name === "halves" && resumeFrom === undefined ? [{ onStep: ({ step }) => step === 6 && stop.abort() }] : [],
      } as ConstructorParameters<typeof Trainer>[0]);
      const output = await trainer.train({ signal: stop.signal, ...(resumeFrom === undefined ? {} : { resumeFrom }) });
      await model.savePretrained(join(outputDir, "result"));
      await model.deleteAdapter("default");
      return { output, rows: trainer.history.map(withoutTimes) };
    };
    const whole = await run("whole");
    const { output } = await run("halves");
    assert.equal(output.reason, "interrupted");
    const rest = await run("halves", output.checkpoint);
    assert.deepEqual(rest.rows, whole.rows);
    await equalAdapters(join(dir, "halves", "result"), join(dir, "whole", "result"), 0);
    const state = JSON.parse(await readFile(join(dir, "whole", "trainer_state.json"), "utf8")) as Record<
      string,
      unknown
    >;
    const best = Math.max(...whole.rows.map((row) => row["eval_accuracy"] ?? 0));
    assert.equal(state["best_metric"], best);
  });

  test("all weights, and the last block with its head", async () => {
    for (const names of [
      undefined,
      unfrozen(base.language.model, {
        freezeTrainableLayers: 1,
        freezeTrainableModules: "all",
        freezeExtraModules: null,
      }),
    ]) {
      const model = await AutoModelForSequenceClassification.fromPretrained(base.dir, { threads: 1, numLabels: 3 });
      const trainable = model.trainable(names);
      assert.ok(trainable.trained.some(({ name }) => name === "score.weight"));
      const trainer = new Trainer({
        model: { trainable: () => trainable },
        trainDataset: golden.rows,
        evalDataset: golden.rows,
        args: { ...ARGS, numTrainEpochs: 8, learningRate: 0.01 },
      });
      await trainer.train();
      const { evalAccuracy } = await trainer.evaluate();
      assert.equal(evalAccuracy, 1);
      await model.dispose();
    }
  });

  test("single parameters may be frozen by their names: weights without biases, as in full fine-tuning of the paper", () => {
    const settings = {
      freezeTrainableLayers: base.language.model.blocks,
      freezeTrainableModules: ["q_proj.weight", "down_proj.weight"],
    };
    const names = [...unfrozen(base.language.model, { ...settings, freezeExtraModules: null })];
    assert.ok(names.includes("model.layers.0.self_attn.q_proj.weight"));
    assert.ok(!names.some((name) => name.endsWith(".bias") || name.includes("norm")));
    assert.ok(names.includes("score.weight"));
  });

  test("rows without a class, and metrics that there are not, are said before anything runs", async () => {
    const model = getPeftModel(base, { peftType: "LORA", r: 2, targetModules: ["q_proj"] });
    const trainDataset = [{ inputIds: [1, 2] }, { inputIds: [1, 2], label: 3 }, { inputIds: [4], label: 2 }];
    const rows = await complaint((async () => new Trainer({ model, trainDataset }))());
    assert.match(rows, /row 0: has no label/);
    assert.match(rows, /row 1: label is 3, and the classes are 0 to 2/);
    assert.doesNotMatch(rows, /row 2/);
    const metric = await complaint(
      (async () => new Trainer({ model, trainDataset: golden.rows, args: { metricForBestModel: "perplexity" } }))(),
    );
    assert.match(metric, /classes have no perplexity/);
  });
});

test("macro F1 leaves out classes that neither occur nor are said", () => {
  const counter = new ClassCounter(4);
  counter.add([2, 1, 0, 0], 0);
  counter.add([2, 1, 0, 0], 1);
  counter.add([0, 3, 3, 0], 1);
  counter.add([0, 0, 5, 0], 1);
  // Class 0: 2/(1+2); class 1: 2/(3+1); class 2: said once, never right.
  const { accuracy, f1 } = counter.metrics();
  assert.equal(accuracy, 0.5);
  near(f1, (2 / 3 + 2 / 4 + 0) / 3, 1e-12, "F1");
});

function sameMetrics(found: { evalLoss: number; evalAccuracy?: number; evalF1?: number }, expected: Metrics): void {
  near(found.evalLoss, expected.eval_loss, 1e-5, "loss of the evaluation");
  near(found.evalAccuracy!, expected.eval_accuracy, 1e-12, "accuracy");
  near(found.evalF1!, expected.eval_f1, 1e-12, "F1");
}

function withoutTimes(row: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(row).filter(([name]) => !/runtime|per_second/.test(name)));
}

function near(got: number, expected: number, tolerance: number, what: string): void {
  const difference = Math.abs(got - expected) / Math.max(1, Math.abs(expected));
  assert.ok(difference <= tolerance, `${what}: ${got}, expected ${expected} (differs by ${difference})`);
}

async function equalAdapters(ours: string, theirs: string, tolerance: number): Promise<void> {
  const [a, b] = await Promise.all(
    [ours, theirs].map((dir) => openSafetensors(join(dir, "adapter_model.safetensors"))),
  );
  try {
    assert.deepEqual([...a!.tensors.keys()].toSorted(), [...b!.tensors.keys()].toSorted());
    for (const name of b!.tensors.keys()) {
      const [x, y] = [await a!.readFloat32(name), await b!.readFloat32(name)];
      y.forEach((value, i) =>
        assert.ok(Math.abs(x[i]! - value) <= tolerance, `${name}[${i}]: ${x[i]}, expected ${value}`),
      );
    }
  } finally {
    await a!.close();
    await b!.close();
  }
}
