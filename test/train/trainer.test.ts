/** The trainer against transformers' own, with PEFT: golden/make/trainer.py. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, suite, test } from "node:test";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import { AutoModelForCausalLM, type CausalLMModel } from "../../src/lm/causal-lm-model.ts";
import { getPeftModel, type PeftConfig, PeftModel } from "../../src/lm/peft-model.ts";
import type { TrainingArguments } from "../../src/config/keys.ts";
import type { TrainRow } from "../../src/train/train-rows.ts";
import { Trainer } from "../../src/train/trainer.ts";
import type { TrainerCallback } from "../../src/train/run/events.ts";

interface Golden {
  readonly rows: readonly TrainRow[];
  readonly log: readonly { step: number; epoch: number; loss: number; grad_norm: number; learning_rate: number }[];
}

const golden = JSON.parse(readFileSync("golden/trainer/run.json", "utf8")) as Golden;
const ARGS = {
  perDeviceTrainBatchSize: 2,
  gradientAccumulationSteps: 2,
  learningRate: 0.01,
  weightDecay: 0.1,
  maxGradNorm: 0.6,
  numTrainEpochs: 5,
  lrSchedulerType: "cosine",
  warmupSteps: 3,
  loggingSteps: 1,
  seed: 7,
  shuffle: false,
} as const;

suite("Trainer", () => {
  let base: CausalLMModel;
  let dir: string;
  before(async () => {
    base = await AutoModelForCausalLM.fromPretrained("golden/causal-lm/qwen2-tied", { threads: 1 });
    dir = await mkdtemp(join(tmpdir(), "lowrank-trainer-"));
  });
  // A test that fails leaves its adapter behind, which would fail the others too.
  afterEach(async () => {
    for (const name of base.language.adapters.keys()) await base.language.remove(name);
  });
  after(async () => {
    await base.dispose();
    await rm(dir, { recursive: true, force: true });
  });

  const start = (from = "golden/trainer/adapter", isTrainable = true) =>
    PeftModel.fromPretrained(base, from, { isTrainable });

  test("losses, norms and learning rates of transformers and PEFT, and the weights at the end", async () => {
    const model = await start();
    const { logHistory } = await new Trainer({ model, trainDataset: golden.rows, args: ARGS }).train();
    // Steps and nothing else: what transformers adds at the end is in trainer_state.json.
    assert.equal(logHistory.length, golden.log.length);
    for (const [i, row] of golden.log.entries()) {
      const ours = logHistory[i]!;
      assert.equal(ours["step"], row.step);
      assert.equal(ours["epoch"], row.epoch);
      near(ours["loss"]!, row.loss, 1e-5, `loss of step ${row.step}`);
      near(ours["gradNorm"]!, row.grad_norm, 1e-4, `norm of step ${row.step}`);
      near(ours["learningRate"]!, row.learning_rate, 1e-12, `rate of step ${row.step}`);
    }
    await model.savePretrained(join(dir, "ours"));
    await equalAdapters(join(dir, "ours"), "golden/trainer/trained", 2e-4);
    await model.deleteAdapter("default");
  });

  test("batches of 1 accumulated 4 times are batches of 4", async () => {
    const losses: number[][] = [];
    for (const [size, times] of [
      [1, 4],
      [4, 1],
    ] as const) {
      const model = await start();
      const args = { ...ARGS, perDeviceTrainBatchSize: size, gradientAccumulationSteps: times };
      const { logHistory } = await new Trainer({ model, trainDataset: golden.rows, args }).train();
      losses.push(logHistory.flatMap(({ loss }) => (loss === undefined ? [] : [loss])));
      await model.deleteAdapter("default");
    }
    assert.equal(losses[0]!.length, 10);
    losses[0]!.forEach((loss, i) => near(loss, losses[1]![i]!, 1e-6, `loss of step ${i + 1}`));
  });

  test("interrupted and resumed, a run takes the same steps, to the bit", async () => {
    const args = { ...ARGS, shuffle: true, loggingSteps: 3, saveSteps: 100 };
    const run = async (name: string, stopAt: number | undefined, resumeFrom?: string) => {
      const model = await start();
      const controller = new AbortController();
      const stop: TrainerCallback = { onStep: ({ step }) => (step === stopAt ? controller.abort() : undefined) };
      const trainer = new Trainer({
        model,
        trainDataset: golden.rows,
        args: { ...args, outputDir: join(dir, name) },
        callbacks: [stop],
      });
      const output = await trainer.train({
        signal: controller.signal,
        ...(resumeFrom === undefined ? {} : { resumeFrom }),
      });
      await model.savePretrained(join(dir, `${name}-adapter`));
      const folder = join(dir, `${name}-adapter`);
      await model.deleteAdapter("default");
      return { output, weights: await readFile(join(folder, "adapter_model.safetensors")) };
    };
    const whole = await run("whole", undefined);
    for (const stopAt of [1, 4, 7]) {
      const first = await run(`parts-${stopAt}`, stopAt);
      assert.equal(first.output.reason, "interrupted");
      assert.match(first.output.checkpoint!, new RegExp(`checkpoint-${stopAt}$`));
      const rest = await run(`parts-${stopAt}`, undefined, first.output.checkpoint);
      assert.equal(rest.output.reason, "finished");
      const losses = (rows: readonly Readonly<Record<string, number>>[]) =>
        rows.flatMap(({ step, loss }) => (loss === undefined ? [] : [[step, loss]]));
      assert.deepEqual(losses(rest.output.logHistory), losses(whole.output.logHistory));
      assert.ok(rest.weights.equals(whole.weights), `the weights differ after stopping at step ${stopAt}`);
    }
  });

  test("paged optimizer states change no number, and a run goes on with another budget for them", async () => {
    const run = async (name: string, args: TrainingArguments, stopAt?: number, resumeFrom?: string) => {
      const model = await start();
      const controller = new AbortController();
      const said: (number | undefined)[] = [];
      const watch: TrainerCallback = {
        onStart: ({ paging }) => void said.push(paging?.resident, paging?.paged),
        onStep: ({ step }) => (step === stopAt ? controller.abort() : undefined),
      };
      const outputDir = join(dir, name);
      const trainer = new Trainer({
        model,
        trainDataset: golden.rows,
        args: { ...ARGS, saveStrategy: "no", outputDir, ...args },
        callbacks: [watch],
      });
      const { checkpoint } = await trainer.train({
        signal: controller.signal,
        ...(resumeFrom === undefined ? {} : { resumeFrom }),
      });
      await model.savePretrained(join(dir, `${name}-adapter`));
      await model.deleteAdapter("default");
      const files = (await readdir(outputDir)).filter((file) => file.includes("pages"));
      assert.deepEqual(files, []);
      const slots = checkpoint === undefined ? undefined : await readFile(join(checkpoint, "optimizer.safetensors"));
      const weights = await readFile(join(dir, `${name}-adapter`, "adapter_model.safetensors"));
      return { checkpoint, said, slots, weights };
    };
    const whole = await run("in-memory", {});
    assert.deepEqual(whole.said, [undefined, undefined]);
    const paged = await run("paged", { optim: "paged_adamw_32bit" });
    assert.equal(paged.said[0], 0);
    const bytes = paged.said[1]!;
    assert.ok(paged.weights.equals(whole.weights), "paged_adamw_32bit");
    const budget = Math.floor(bytes / 2);
    const [first, plain] = [await run("paged-parts", { optimizerMemoryBudget: budget }, 3), await run("parts", {}, 3)];
    assert.ok(first.said[0]! > 0 && first.said[0]! <= budget && first.said[0]! + first.said[1]! === bytes);
    assert.ok(first.slots!.equals(plain.slots!), "what is saved is the same");
    const others: [TrainingArguments, string][] = [
      [{}, first.checkpoint!],
      [{ optim: "paged_adamw" }, first.checkpoint!],
      [{ optimizerMemoryBudget: budget }, plain.checkpoint!],
    ];
    for (const [i, [args, from]] of others.entries()) {
      const rest = await run(`paged-rest-${i}`, args, undefined, from);
      assert.ok(rest.weights.equals(whole.weights), JSON.stringify(args));
    }
  });

  test("a run with other settings, of the data or of the adapter too, does not go on from a checkpoint", async () => {
    const outputDir = join(dir, "other");
    const args = { ...ARGS, outputDir, maxSteps: 2 };
    const first = getPeftModel(base, { peftType: "LORA", r: 2, loraAlpha: 4 });
    const { checkpoint } = await new Trainer({ model: first, trainDataset: golden.rows, args }).train();
    await first.deleteAdapter("default");
    const refused = async (config: Partial<PeftConfig>, other: TrainingArguments, rows: number, message: RegExp) => {
      const model = getPeftModel(base, { peftType: "LORA", r: 2, loraAlpha: 4, ...config });
      const trainer = new Trainer({ model, trainDataset: golden.rows.slice(0, rows), args: { ...args, ...other } });
      await assert.rejects(trainer.train({ resumeFrom: checkpoint! }), message);
      await model.deleteAdapter("default");
    };
    const all = golden.rows.length;
    await refused({}, { learningRate: 0.02 }, all, /got learning_rate: 0\.02, expected learning_rate: 0\.01/);
    await refused({ loraAlpha: 8 }, {}, all, /got lora alpha: 8, expected lora alpha: 4/);
    await refused({ loraDropout: 0.5 }, {}, all, /got lora dropout: 0\.5, expected lora dropout: 0/);
    await refused({ r: 4 }, {}, all, /got lora r: 4/);
    await refused({}, {}, all - 1, /got rows to train on: /);
  });

  test("a loss that is not finite stops the run before the weights change, and says where", async () => {
    const model = await start();
    const state = "model.layers.1.mlp.down_proj.lora_B.default.weight";
    const { device } = base.language;
    const good = await device.read(state);
    await device.write(state, { ...good, data: Float32Array.from(good.data as Float32Array, () => NaN) });
    const untouched = "model.layers.0.self_attn.q_proj.lora_B.default.weight";
    const before = await device.read(untouched);
    await assert.rejects(new Trainer({ model, trainDataset: golden.rows, args: ARGS }).train(), (error: Error) => {
      assert.match(error.message, /step 1: the loss is NaN/);
      assert.match(error.message, /model\.layers\.1\.mlp\.down_proj/);
      assert.match(error.message, /learning rate/);
      return true;
    });
    assert.deepEqual((await device.read(untouched)).data, before.data);
    await model.deleteAdapter("default");
  });

  test("batches with nothing to train are skipped and counted", async () => {
    const model = await start();
    const skips: number[] = [];
    const nothing = golden.rows.map((row, i) =>
      i < 4 ? { ...row, labels: Array.from(row.inputIds, () => -100) } : row,
    );
    const { logHistory } = await new Trainer({
      model,
      trainDataset: nothing,
      args: { ...ARGS, numTrainEpochs: 1 },
      callbacks: [{ onSkip: ({ totalSkipped }) => void skips.push(totalSkipped) }],
    }).train();
    assert.deepEqual(skips, [4]);
    assert.ok(logHistory.every(({ loss }) => loss === undefined || Number.isFinite(loss)));
    await model.deleteAdapter("default");
  });

  test("an adapter that was loaded to be used is not trained by accident", async () => {
    const model = await start("golden/trainer/adapter", false);
    assert.throws(() => new Trainer({ model, trainDataset: golden.rows }), /isTrainable/);
    await model.deleteAdapter("default");
  });
});

function near(got: number, wanted: number, tolerance: number, what: string): void {
  assert.ok(Math.abs(got - wanted) <= tolerance * Math.max(1, Math.abs(wanted)), `${what}: ${got}, not ${wanted}`);
}

/** @param tolerance Adam divides by the root of small squares, which enlarges the rounding of gradients near zero */
async function equalAdapters(ours: string, theirs: string, tolerance: number): Promise<void> {
  const [a, b] = [ours, theirs].map((folder) => openSafetensors(join(folder, "adapter_model.safetensors")));
  const [mine, golden] = [await a!, await b!];
  assert.deepEqual([...mine.tensors.keys()].toSorted(), [...golden.tensors.keys()].toSorted());
  for (const name of golden.tensors.keys()) {
    const [x, y] = [await mine.readFloat32(name), await golden.readFloat32(name)];
    x.forEach((value, i) => near(value, y[i]!, tolerance, `${name}[${i}]`));
  }
  await mine.close();
  await golden.close();
}
