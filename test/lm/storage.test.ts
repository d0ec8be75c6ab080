/** Language models whose frozen weights lie in storages: their numbers, training, merging, and the cache of their tensors. */
import assert from "node:assert/strict";
import { cp, mkdtemp, open, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { ConfigError, NumericError } from "../../src/errors.ts";
import { openCheckpoint, writeSafetensors } from "../../src/formats/safetensors/index.ts";
import { AutoModelForCausalLM, type FromPretrainedOptions } from "../../src/lm/causal-lm-model.ts";
import { getPeftModel, PeftModel } from "../../src/lm/peft-model.ts";
import { STORAGES } from "../../src/quant/index.ts";
import { statesOf } from "../../src/quant/stored-model.ts";
import type { TrainerCallback } from "../../src/train/run/events.ts";
import type { TrainRow } from "../../src/train/train-rows.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { assertClose } from "../support/close.ts";

const BASE = "golden/causal-lm/qwen2-tied";
const GPT2 = "golden/causal-lm/gpt2";
const INPUT = { inputIds: [[3, 8, 1, 20, 7, 5, 30, 2]] };
const { rows } = JSON.parse(await readFile("golden/trainer/run.json", "utf8")) as { rows: TrainRow[] };
const ARGS = { perDeviceTrainBatchSize: 4, learningRate: 0.02, maxSteps: 8, loggingSteps: 1, shuffle: false } as const;
const LORA = { peftType: "LORA", r: 4, loraAlpha: 10, targetModules: "all-linear" } as const;
/** By name, with and without double quantisation. */
const CHOICES = STORAGES.flatMap((storage) =>
  [false, ...(storage.hasConstants ? [true] : [])].map((doubleQuantization) => ({
    storage: storage.name,
    doubleQuantization,
  })),
);

suite("storages of a language model", () => {
  let dir: string;
  let before_: string | undefined;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "lowrank-storages-"));
    before_ = process.env["LOWRANK_CACHE"];
    process.env["LOWRANK_CACHE"] = join(dir, "cache");
  });
  after(async () => {
    if (before_ === undefined) delete process.env["LOWRANK_CACHE"];
    else process.env["LOWRANK_CACHE"] = before_;
    await rm(dir, { recursive: true });
  });

  const load = (options: FromPretrainedOptions, base = BASE) =>
    AutoModelForCausalLM.fromPretrained(base, { threads: 1, ...options });
  const logitsOf = async (model: { forward: (input: typeof INPUT) => Promise<{ logits: Float32Array }> }) =>
    Float32Array.from((await model.forward(INPUT)).logits);

  /** The model with the values that a stored one stands for. */
  async function decoded(options: FromPretrainedOptions, base = BASE): Promise<string> {
    const folder = join(dir, `decoded-${base.split("/").at(-1)}-${options.storage}-${options.doubleQuantization}`);
    const model = await load(options, base);
    await model.savePretrained(folder, { dtype: "float32" });
    await model.dispose();
    return folder;
  }

  for (const choice of CHOICES) {
    const title = `${choice.storage}${choice.doubleQuantization ? ", double" : ""}`;
    // Rows of activations are rounded to 8 bits, too.
    const tolerance = choice.storage === "int8" ? 0.05 : 1e-5;

    for (const base of [BASE, GPT2]) {
      test(`${title}: ${base.split("/").at(-1)} computes what it does with the decoded weights`, async () => {
        const stored = await load(choice, base);
        const plain = await load({}, await decoded(choice, base));
        const original = await load({}, base);
        const [got, expected, exact] = [await logitsOf(stored), await logitsOf(plain), await logitsOf(original)];
        assertClose(got, expected, { ofLargest: tolerance }, "logits");
        const isExact = expected.every((value, i) => value === exact[i]);
        assert.equal(isExact, choice.storage === "float32", "the storage makes a difference");
        for (const model of [stored, plain, original]) await model.dispose();
      });
    }

    test(`${title}: LoRA trains on it, and the base keeps its bytes`, async () => {
      const model = await load(choice);
      const bytes = async () => {
        const states = [...model.language.storages].flatMap(([name, weight]) => statesOf(name, weight));
        return Promise.all(
          // What JavaScript has no type for is in a file that nothing writes.
          states.map(async ({ name }) =>
            Buffer.from((await model.language.device.read(name)).data.buffer).toString("hex"),
          ),
        );
      };
      const first = await bytes();
      assert.equal(first.length > 0, choice.storage !== "float32");
      const peft = getPeftModel(model, LORA, { seed: 3 });
      const { logHistory } = await new Trainer({ model: peft, trainDataset: rows, args: ARGS }).train();
      const losses = logHistory.flatMap(({ loss }) => (loss === undefined ? [] : [loss]));
      assert.equal(losses.length, 8);
      assert.ok(losses.at(-1)! < 0.9 * losses[0]!, `the loss goes from ${losses[0]} to ${losses.at(-1)}`);
      assert.deepEqual(await bytes(), first);
      await model.dispose();
    });
  }

  test("adapters merge into stored weights, and unmerging brings these back", async () => {
    const model = await load({ storage: "nf4", doubleQuantization: true });
    const peft = getPeftModel(model, { ...LORA, initLoraWeights: false }, { seed: 1 });
    const [base, adapted] = [await logitsOf(model), await logitsOf(peft)];
    assert.ok(
      base.some((value, i) => Math.abs(value - adapted[i]!) > 0.01),
      "the adapter does something",
    );
    await model.language.merge(["default"]);
    assertClose(await logitsOf(model), adapted, { ofLargest: 2e-5 }, "merged");
    await model.language.unmerge();
    assert.deepEqual(await logitsOf(model), base);
    assert.deepEqual(await logitsOf(peft), adapted);
    await assert.rejects(model.language.device.read("model.layers.0.mlp.up_proj.nothing"));
    await model.dispose();
  });

  test("a run on nf4 that was interrupted goes on to the same bits", async () => {
    const run = async (name: string, stopAt: number | undefined, resumeFrom?: string) => {
      const model = await load({ quantizationConfig: { loadIn4bit: true, bnb4bitQuantType: "nf4" } });
      const peft = getPeftModel(model, { ...LORA, loraDropout: 0.1 }, { seed: 5 });
      const controller = new AbortController();
      const stop: TrainerCallback = { onStep: ({ step }) => (step === stopAt ? controller.abort() : undefined) };
      const args = { ...ARGS, outputDir: join(dir, name), saveSteps: 100, gradientCheckpointing: true };
      const trainer = new Trainer({ model: peft, trainDataset: rows, args, callbacks: [stop] });
      const output = await trainer.train({
        signal: controller.signal,
        ...(resumeFrom === undefined ? {} : { resumeFrom }),
      });
      await peft.savePretrained(join(dir, `${name}-adapter`));
      await model.dispose();
      return { output, weights: await readFile(join(dir, `${name}-adapter`, "adapter_model.safetensors")) };
    };
    const whole = await run("whole", undefined);
    const first = await run("parts", 3);
    assert.equal(first.output.reason, "interrupted");
    const rest = await run("parts", undefined, first.output.checkpoint);
    assert.ok(rest.weights.equals(whole.weights));
    assert.ok(!first.weights.equals(whole.weights));
  });

  test("an adapter that was trained on nf4 is loaded onto it again", async () => {
    const folder = join(dir, "reloaded");
    const model = await load({ storage: "nf4" });
    const peft = getPeftModel(model, { ...LORA, initLoraWeights: false }, { seed: 2 });
    const expected = await logitsOf(peft);
    await peft.savePretrained(folder);
    await model.dispose();
    const again = await load({ storage: "nf4" });
    assert.deepEqual(await logitsOf(await PeftModel.fromPretrained(again, folder)), expected);
    await again.dispose();
  });

  suite("the cache", () => {
    const folders = async () =>
      (await readdir(join(dir, "cache", "stored")).catch((): string[] => [])).toSorted((a, b) => (a < b ? -1 : 1));
    const fileOf = (key: string) => join(dir, "cache", "stored", key, "model.safetensors");

    test("is used again, also for a copy of the checkpoint elsewhere, and another storage has another file", async () => {
      await rm(join(dir, "cache"), { recursive: true, force: true });
      await (await load({ storage: "nf4" })).dispose();
      const [key, ...more] = await folders();
      assert.deepEqual(more, []);
      const { mtimeMs } = await stat(fileOf(key!));
      const copy = join(dir, "copy");
      await cp(BASE, copy, { recursive: true });
      await (await load({ storage: "nf4" }, copy)).dispose();
      assert.deepEqual(await folders(), [key]);
      assert.equal((await stat(fileOf(key!))).mtimeMs, mtimeMs);
      await (await load({ storage: "nf4", doubleQuantization: true })).dispose();
      await (await load({ storage: "fp4" })).dispose();
      assert.equal((await folders()).length, 3);
    });

    test("a checkpoint of the same name and size with another number has another key", async () => {
      const copy = join(dir, "changed");
      await cp(BASE, copy, { recursive: true });
      await (await load({ storage: "int4" }, copy)).dispose();
      const before = await folders();
      const path = join(copy, "model.safetensors");
      const { size, mtime } = await stat(path);
      await flip(path, size - 2);
      const { utimes } = await import("node:fs/promises");
      await utimes(path, mtime, mtime);
      await (await load({ storage: "int4" }, copy)).dispose();
      assert.equal((await folders()).length, before.length + 1);
    });

    test("a damaged file is made anew: flipped bits with the old times, a cut file, a torn manifest", async () => {
      await rm(join(dir, "cache"), { recursive: true, force: true });
      const clean = await load({ storage: "nf4" });
      const expected = await logitsOf(clean);
      await clean.dispose();
      const [key] = await folders();
      const whole = await readFile(fileOf(key!));
      const damages: (() => Promise<void>)[] = [
        () => flip(fileOf(key!), whole.length - 5),
        () => flip(fileOf(key!), Math.floor(whole.length / 2)),
        () => flip(fileOf(key!), 30),
        async () => {
          const file = await open(fileOf(key!), "r+");
          await file.truncate(whole.length - 100);
          await file.close();
        },
        async () => {
          const file = await open(join(dir, "cache", "stored", key!, "manifest.json"), "r+");
          await file.truncate(40);
          await file.close();
        },
      ];
      for (const damage of damages) {
        await damage();
        const model = await load({ storage: "nf4" });
        assert.deepEqual(await logitsOf(model), expected);
        await model.dispose();
        assert.ok((await readFile(fileOf(key!))).equals(whole), "the file is what it was");
      }
    });

    test("a checkpoint in bfloat16 is read where it lies", async () => {
      await rm(join(dir, "cache"), { recursive: true, force: true });
      const folder = join(dir, "bfloat16");
      const model = await load({});
      await model.savePretrained(folder, { dtype: "bfloat16" });
      await model.dispose();
      const stored = await load({ storage: "bfloat16" }, folder);
      const plain = await load({}, folder);
      assertClose(await logitsOf(stored), await logitsOf(plain), { ofLargest: 1e-6 }, "logits");
      assert.deepEqual(await folders(), []);
      assert.equal(stored.language.storages.size, plain.language.model.parameters.length);
      await stored.dispose();
      await plain.dispose();
    });
  });

  suite("is refused", () => {
    test("two storages at once, and one that there is not", async () => {
      await assert.rejects(
        load({ storage: "nf4", quantizationConfig: { loadIn8bit: true } }),
        (error) => error instanceof ConfigError && /two storages/.test(error.message),
      );
      await assert.rejects(load({ storage: "nf" }), /the nearest name is "nf4"/);
    });

    test("training the weights that are stored", async () => {
      const model = await load({ storage: "nf4" });
      assert.throws(
        () => model.trainable(),
        (error) => error instanceof ConfigError && /stored as nf4/.test(error.message),
      );
      assert.doesNotThrow(() => model.trainable(new Set(["model.norm.weight"])));
      await model.dispose();
    });

    test("a weight that is not a number, by its name", async () => {
      const folder = join(dir, "nan");
      await cp(BASE, folder, { recursive: true });
      const checkpoint = await openCheckpoint(folder);
      const tensors = await Promise.all(
        [...checkpoint.tensors.values()].map(async ({ name, dtype, shape }) => {
          const data = await checkpoint.readFloat32(name);
          if (name === "model.layers.1.mlp.up_proj.weight") data[77] = NaN;
          return { name, dtype, shape, data };
        }),
      );
      await checkpoint.close();
      await writeSafetensors(join(folder, "model.safetensors"), tensors);
      await assert.rejects(
        load({ storage: "nf4" }, folder),
        (error) => error instanceof NumericError && /layers\.1\.mlp\.up_proj\.weight: element 77/.test(error.message),
      );
    });
  });
});

async function flip(path: string, at: number): Promise<void> {
  const { atime, mtime } = await stat(path);
  const file = await open(path, "r+");
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  byte[0]! ^= 0x10;
  await file.write(byte, 0, 1, at);
  // As a disk does it that fails: no time of change tells.
  await file.utimes(atime, mtime);
  await file.close();
}
