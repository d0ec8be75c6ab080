/** The callback that looks at weights while they are trained: its numbers, its rows, its warning, and that it changes nothing. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { analysisCallback, type AnalysisCallbackOptions } from "../../src/analysis/callback.ts";
import {
  difference,
  effectiveRank,
  findIntruders,
  randomSimilarity,
  subspaceSimilarity,
  type TextRows,
} from "../../src/analysis/measures/index.ts";
import { mergedWeights } from "../../src/adapters/merge.ts";
import { memoryRows } from "../../src/data/row-source.ts";
import { type Matrix, svd, transposed } from "../../src/linear-algebra/svd.ts";
import { AutoModelForCausalLM, type CausalLMModel } from "../../src/lm/causal-lm-model.ts";
import { getPeftModel, type PeftConfig } from "../../src/lm/peft-model.ts";
import type { Trainable } from "../../src/lm/trainable.ts";
import type { Decomposer } from "../../src/analysis/decomposer.ts";
import type { TrainerCallback } from "../../src/train/run/events.ts";
import { Trainer } from "../../src/train/trainer.ts";

const ROWS = [
  { inputIds: [1, 5, 9, 13, 2, 4] },
  { inputIds: [3, 3, 7, 8] },
  { inputIds: [2, 6, 10, 14, 18, 20, 21] },
  { inputIds: [11, 12] },
];
const OTHERS = [
  [4, 1, 7, 7, 2, 30],
  [9, 8, 7],
  [31, 3, 17, 5, 5, 2, 1, 1],
];
/** Square, wide and tall ones, of both models. */
const TARGETS = ".*\\.(q_proj|up_proj|down_proj|c_attn|c_proj)";
const ARGS = { maxSteps: 6, perDeviceTrainBatchSize: 2, learningRate: 0.05, loggingSteps: 2, seed: 3 } as const;

/** In this thread, without a cache. */
const HERE: Decomposer = {
  svd: async (matrix, rank) => svd(matrix, rank),
  singularValues: async (matrix) => svd(matrix).values,
  dispose: async () => {},
};

function textRows(): TextRows {
  const rows = OTHERS.map((ids) => ({ inputIds: Int32Array.from(ids), labels: Int32Array.from(ids) }));
  return { ...memoryRows(rows), length: rows.length, tokens: OTHERS.flat().length - OTHERS.length };
}

/** A trainable at the end of a run, by its parameters. */
async function contents({ trained, language }: Trainable): Promise<Record<string, number[]>> {
  const found: Record<string, number[]> = {};
  for (const { name } of trained) {
    const { data } = await language.device.read(name);
    found[name] = Array.from(data as Float32Array);
  }
  return found;
}

describe("analysisCallback", () => {
  let dir: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "lowrank-analysis-"));
  });
  after(() => rm(dir, { recursive: true, force: true }));

  const load = (name = "qwen2-tied") => AutoModelForCausalLM.fromPretrained(`golden/causal-lm/${name}`, { threads: 1 });

  const peftOf = (model: CausalLMModel, config: Partial<PeftConfig> = {}) =>
    getPeftModel(model, { peftType: "LORA", r: 3, loraAlpha: 12, targetModules: TARGETS, ...config }, { seed: 5 });

  const trained = async (
    model: { trainable(): Trainable },
    callbacks: readonly TrainerCallback[],
    args: Partial<ConstructorParameters<typeof Trainer>[0]["args"]> = {},
  ) => new Trainer({ model, trainDataset: ROWS, args: { ...ARGS, ...args }, callbacks }).train();

  for (const [what, open] of [
    ["LoRA", async () => [await load(), (model: CausalLMModel) => peftOf(model)] as const],
    [
      "DoRA, whose update is no product of thin factors",
      async () => [await load(), (model: CausalLMModel) => peftOf(model, { useDora: true })] as const,
    ],
    [
      "LoRA on weights that are stored as [in, out]",
      async () => [await load("gpt2"), (model: CausalLMModel) => peftOf(model)] as const,
    ],
    ["all weights", async () => [await load(), (model: CausalLMModel) => model] as const],
  ] as const) {
    it(`${what}: what it logs is what decompositions of the weights say, and training is the same without it`, async () => {
      const [plain, put] = await open();
      const without = put(plain);
      const before = await trained(without, []);
      const bits = await contents(without.trainable());
      await plain.dispose();

      const [base] = await open();
      const original = new Map<string, Float32Array>();
      for (const layer of base.language.model.layers) {
        const { data } = await base.language.device.read(base.language.tied[layer.weight] ?? layer.weight);
        original.set(layer.weight, Float32Array.from(data as Float32Array));
      }
      const model = put(base);
      const options: AnalysisCallbackOptions = {
        k: 4,
        epsilon: 0.6,
        decomposer: HERE,
        texts: textRows(),
        onWarning() {},
      };
      const outputDir = join(dir, what.slice(0, 6));
      const output = await trained(model, [analysisCallback(model, options)], { analysisSteps: 4, outputDir });
      assert.deepEqual(await contents(model.trainable()), bits, "the same bits");
      const losses = (rows: typeof output.logHistory) => rows.flatMap(({ loss }) => (loss === undefined ? [] : [loss]));
      assert.deepEqual(losses(output.logHistory), losses(before.logHistory));

      // Every four steps, and after the last.
      const rows = output.logHistory.filter((row) => row["analysisIntruders"] !== undefined);
      assert.deepEqual(
        rows.map(({ step }) => step),
        [4, 6],
      );
      const { language, adapters } = model.trainable();
      let [intruders, ranks, overlaps, count] = [0, 0, 0, 0];
      const names = new Set(adapters.flatMap(({ targets }) => targets.map(({ layer }) => layer.name)));
      const merged = adapters.length === 0 ? undefined : mergedWeights(language.device, adapters);
      for (const layer of language.model.layers) {
        if (layer.kind !== "linear" || layer.name === "lm_head") continue;
        if (adapters.length > 0 && !names.has(layer.name)) continue;
        const tensor =
          merged === undefined ? await language.device.read(layer.weight) : await merged.read(layer.weight);
        const oriented = (data: Float32Array): Matrix => {
          const [rows, columns] = [layer.outFeatures, layer.inFeatures];
          if (layer.fanInFanOut !== true) return { rows, columns, data };
          return { rows, columns, data: transposed({ rows: columns, columns: rows, data }) };
        };
        const [W0, W] = [oriented(original.get(layer.weight)!), oriented(tensor.data as Float32Array)];
        const [known, tuned, delta] = [svd(W0), svd(W), svd(difference(W, W0))];
        intruders += findIntruders({ base: known, tuned, k: 4, epsilon: 0.6 }).count;
        const directions = adapters.length > 0 && what.startsWith("LoRA") ? 3 : 4;
        ranks += effectiveRank(delta.values.slice(0, what.startsWith("LoRA") ? 3 : undefined));
        overlaps += subspaceSimilarity(delta.left.slice(0, directions), known.left.slice(0, 4)).at(-1)!.at(-1)!;
        count++;
        assert.equal(randomSimilarity(directions, 4, layer.outFeatures), 4 / layer.outFeatures);
      }
      const last = rows.at(-1)!;
      assert.equal(last["analysisMatrices"], count);
      assert.equal(last["analysisIntruders"], intruders);
      assert.ok(intruders > 0, "a test that counts nothing tells nothing");
      // Merged weights are rounded to float32: ΔW, a hundredth of them, to five digits.
      assert.ok(Math.abs(last["analysisEffectiveRank"]! - ranks / count) < 1e-3, `${last["analysisEffectiveRank"]}`);
      assert.ok(Math.abs(last["analysisOverlap"]! - overlaps / count) < 1e-3);

      // The loss of the other texts, by hand.
      const lossOf = async (names: readonly string[]) => {
        let [sum, tokens] = [0, 0];
        for (const ids of OTHERS) {
          const owner = "base" in model ? model : undefined;
          const input = { inputIds: [ids], labels: [ids] };
          const { loss } =
            owner === undefined || names.length === 0
              ? await base.forward(input)
              : await owner.forward({ ...input, adapterNames: names });
          sum += loss! * (ids.length - 1);
          tokens += ids.length - 1;
        }
        return sum / tokens;
      };
      assert.ok(Math.abs(last["analysisLoss"]! - (await lossOf(["default"]))) < 1e-5);
      if (adapters.length > 0) assert.ok(Math.abs(last["analysisBaseLoss"]! - (await lossOf([]))) < 1e-5);
      assert.equal(last["analysisForgetting"], last["analysisLoss"]! / last["analysisBaseLoss"]! - 1);
      const lines = (await readFile(join(outputDir, "trainer_log.jsonl"), "utf8")).trim().split("\n");
      const logged = lines.map((line) => JSON.parse(line) as Record<string, number>);
      assert.equal(logged.find((row) => row["analysis_intruders"] !== undefined)!["current_steps"], 4);
      await base.dispose();
    });
  }

  it("goes on in a resumed run with the rows that an unbroken one has", async () => {
    const run = async (outputDir: string, stopAt?: number, resumeFrom?: string) => {
      const model = await load();
      const controller = new AbortController();
      const original = new Map<string, Float32Array>();
      for (const { name } of model.language.model.parameters) {
        original.set(name, Float32Array.from((await model.language.device.read(name)).data as Float32Array));
      }
      const options = { texts: textRows(), decomposer: HERE, onWarning() {} };
      const trainer = new Trainer({
        model,
        trainDataset: ROWS,
        args: { ...ARGS, analysisSteps: 2, outputDir, saveSteps: 100 },
        callbacks: [
          analysisCallback(model, { ...options, original: async (name) => original.get(name)! }),
          { onStep: ({ step }) => (step === stopAt ? controller.abort() : undefined) },
        ],
      });
      const resumed = resumeFrom === undefined ? {} : { resumeFrom };
      const output = await trainer.train({ signal: controller.signal, ...resumed });
      await model.dispose();
      return output;
    };
    const whole = await run(join(dir, "whole"));
    const first = await run(join(dir, "parts"), 3);
    const rest = await run(join(dir, "parts"), undefined, first.checkpoint);
    assert.deepEqual(rest.logHistory, whole.logHistory);
    const model = await load();
    const trainer = new Trainer({
      model,
      trainDataset: ROWS,
      args: { ...ARGS, analysisSteps: 2, outputDir: join(dir, "parts"), saveSteps: 100 },
      callbacks: [analysisCallback(model, { decomposer: HERE })],
    });
    await assert.rejects(trainer.train({ resumeFrom: first.checkpoint! }), /no longer those of the base.*original/s);
    await model.dispose();
  });

  it("warns once, where there are intruders and the loss has grown by more than the share", async () => {
    const model = await load();
    const warnings = async (options: AnalysisCallbackOptions) => {
      const peft = peftOf(model);
      const said: string[] = [];
      const all = { decomposer: HERE, texts: textRows(), steps: 1, onWarning: (text: string) => void said.push(text) };
      const output = await trained(peft, [analysisCallback(peft, { ...all, ...options })], {
        maxSteps: 4,
      });
      await peft.deleteAdapter("default");
      const rows = output.logHistory.filter((row) => row["analysisThreat"] !== undefined);
      return { said, rows, threats: rows.reduce((sum, row) => sum + row["analysisThreat"]!, 0) };
    };
    const always = await warnings({ forgettingAbove: -1, epsilon: 0.6 });
    assert.equal(always.said.length, 1);
    assert.match(
      always.said[0]!,
      /^step \d: forgetting threatens: \d+ intruders?, .*grown by -?\d+\.\d%.*lowrank repair/s,
    );
    assert.ok(always.threats > 1, "it is logged each time");
    // Each half of the condition alone is not enough.
    const most = Math.max(...always.rows.map((row) => row["analysisForgetting"]!));
    const below = await warnings({ forgettingAbove: most - 1e-6, epsilon: 0.6 });
    assert.deepEqual([below.said.length, below.threats], [1, 1]);
    const above = await warnings({ forgettingAbove: most + 1e-6, epsilon: 0.6 });
    assert.deepEqual([above.said.length, above.threats], [0, 0]);
    assert.deepEqual((await warnings({ forgettingAbove: -1, epsilon: 0 })).threats, 0);
    await model.dispose();
  });

  it("says what it cannot do before the first step", async () => {
    const model = await load();
    const fails = async (options: AnalysisCallbackOptions, message: RegExp, args = {}) => {
      const peft = peftOf(model);
      await assert.rejects(trained(peft, [analysisCallback(peft, { decomposer: HERE, ...options })], args), message);
      await peft.deleteAdapter("default");
    };
    await fails({}, /how often it looks is not said/);
    await fails({ steps: 2, texts: ["a text"] }, /texts need the model's tokenizer/);
    await fails({ steps: 2 }, /analysisTexts.*give the callback its `texts`/s, {
      analysisSteps: 2,
      analysisTexts: ["x"],
    });
    const prompts = getPeftModel(model, { peftType: "PROMPT_TUNING", numVirtualTokens: 2 });
    await assert.rejects(
      trained(prompts, [analysisCallback(prompts, { decomposer: HERE, steps: 1 })]),
      /trains no matrix of a linear layer/,
    );
    await prompts.deleteAdapter("default");
    assert.throws(
      () => new Trainer({ model, trainDataset: ROWS, args: { analysisSteps: 2 } }),
      /analysisSteps.*analysisCallback/s,
    );
    await model.dispose();
  });
});
