/** AdaLoRA: the contract of methods, PEFT's numbers (golden/make/peft_methods.py), and a whole run of PEFT's, step by step. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { adalora, type AdaLoraConfig, budgetAt, lowest } from "../../src/adapters/adalora.ts";
import { attach } from "../../src/adapters/adapter.ts";
import { merge } from "../../src/adapters/merge.ts";
import { configure } from "../../src/adapters/settings.ts";
import { ConfigError } from "../../src/errors.ts";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import { grad } from "../../src/ir/grad.ts";
import { Graph } from "../../src/ir/graph.ts";
import { ndarray, type NdArray } from "../../src/ir/ndarray.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import { AutoModelForCausalLM, type CausalLMModel } from "../../src/lm/causal-lm-model.ts";
import { getPeftModel, PeftModel } from "../../src/lm/peft-model.ts";
import { Random } from "../../src/random.ts";
import { interpret } from "../../src/runtime/interp.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import { describeMethod } from "../../src/testing/describe-method.ts";
import { describePeftCase } from "../../src/testing/describe-peft-case.ts";
import { batchOf, logitsOf, mlpRig, scatterParameters, tokenRig } from "../../src/testing/method-rig.ts";
import { penaltyOf } from "../../src/train/method-steps.ts";
import { Trainer } from "../../src/train/trainer.ts";

const base = { initR: 4, targetR: 2, alpha: 10 } as const;

describeMethod<AdaLoraConfig>(
  adalora,
  [
    { name: "PEFT's start", config: base },
    { name: "dropout", config: { ...base, dropout: 0.25 } },
    { name: "one triplet", config: { initR: 1, targetR: 1, alpha: 3 } },
  ],
  {
    elements: (layer, { initR }) =>
      initR *
      (layer.inFeatures * (layer.kind === "conv2d" ? layer.kernel[0] * layer.kernel[1] : 1) + layer.outFeatures + 1),
    models: ["mlp", "conv"],
    notInFile: ["orthogonality"],
    golden: [],
  },
);

const schedule = { initR: 6, targetR: 3, tinit: 5, tfinal: 10, deltaT: 3, totalStep: 60 } as const;
describePeftCase(adalora, {
  folder: "adalora",
  attach: { config: { ...schedule, alpha: 10, beta2: 0.8 }, targetModules: ["q_proj", "down_proj"] },
});
describePeftCase(adalora, { folder: "adalora-pruned" });

/** float32 against float64: of the largest element. */
const ROUNDING = 1e-5;
/** The same after sixty steps of AdamW, which divides by √v. */
const AFTER_TRAINING = 1e-4;

describe("AdaLoRA's budget", () => {
  it("is PEFT's at every step of some schedules", () => {
    interface Schedule {
      readonly init_r: number;
      readonly target_r: number;
      readonly tinit: number;
      readonly tfinal: number;
      readonly deltaT: number;
      readonly total_step: number;
      readonly matrices: number;
      readonly budgets: readonly number[];
      readonly masks: readonly boolean[];
    }
    const { schedules } = JSON.parse(readFileSync("golden/peft-methods/adalora-budgets.json", "utf8")) as {
      readonly schedules: readonly Schedule[];
    };
    assert.ok(schedules.length >= 3);
    for (const { init_r, target_r, matrices, total_step, budgets, masks, ...schedule } of schedules) {
      const ends = { initial: init_r * matrices, final: target_r * matrices };
      budgets.forEach((budget, t) => {
        assert.deepEqual(budgetAt(t, schedule, total_step, ends), { budget, chooses: masks[t] }, `step ${t}`);
      });
    }
  });

  it("is that of the paper's code: b0 = 288, bT = 192, ti = 10, tf = 20, T = 100", () => {
    const at = (t: number) =>
      budgetAt(t, { tinit: 10, tfinal: 20, deltaT: 1 }, 100, { initial: 288, final: 192 }).budget;
    assert.deepEqual([10, 11, 20, 30, 45, 60, 79, 80, 100].map(at), [288, 283, 252, 226, 204, 194, 192, 192, 192]);
  });

  it("drops nothing where it does not fall: b0 = bT", () => {
    const { budget, chooses } = budgetAt(5, { tinit: 0, tfinal: 0, deltaT: 1 }, 10, { initial: 8, final: 8 });
    assert.deepEqual({ budget, chooses }, { budget: 8, chooses: true });
    assert.deepEqual(lowest([[1, 2], [3]], 8 - budget), [Float32Array.of(0, 0), Float32Array.of(0)]);
  });

  it("keeps as many triplets as it says where scores are equal", () => {
    const chosen = lowest(
      [
        [0, 0, 5],
        [0, 1, 0],
      ],
      3,
    );
    assert.deepEqual(chosen, [Float32Array.of(0, 1, 0), Float32Array.of(1, 0, 1)]);
    assert.deepEqual(lowest([[0, 0], [0]], 3), [Float32Array.of(1, 1), Float32Array.of(1)]);
  });
});

describe("AdaLoRA's settings", () => {
  const wrong = (config: Partial<AdaLoraConfig>, message: RegExp) =>
    assert.throws(
      () => configure(adalora, config),
      (error) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, message);
        return true;
      },
    );
  it("that leave no steps for ranks to fall in are errors, and so are others that cannot be", () => {
    wrong({ tinit: 50, tfinal: 50, totalStep: 100 }, /tinit 50 and tfinal 50 leave none of 100 steps/);
    wrong({ totalStep: 0 }, /totalStep is 0, not an integer >= 1/);
    wrong({ initR: 4, targetR: 6 }, /target_r is 6, and init_r 4/);
    wrong({ beta1: 1 }, /beta1 is 1, not a number above 0 and below 1/);
    wrong({ orthRegWeight: -1 }, /orth_reg_weight is -1/);
    assert.deepEqual(configure(adalora, { tinit: 49, tfinal: 50, totalStep: 100 }).tinit, 49);
  });

  it("refuse embeddings by name", () => {
    const { model } = tokenRig();
    assert.throws(
      () => attach(model, adalora, { targetModules: ["embed"], config: base }),
      /embed: AdaLoRA on an embedding/,
    );
  });
});

describe("AdaLoRA on a layer with W [in, out]", () => {
  it("computes the same when it is merged", async () => {
    const rig = tokenRig();
    const device = await ortDevice({ threads: 1 });
    try {
      const adapter = attach(rig.model, adalora, { targetModules: ["fc1", "fc2"], config: base });
      const { x } = batchOf(rig, 9);
      await scatterParameters(device, rig.model.parameters, { seed: 3 });
      await scatterParameters(device, adapter.parameters);
      const plain = await logitsOf(device, rig, x, []);
      const adapted = await logitsOf(device, rig, x, [adapter]);
      await merge(device, adapter);
      near((await logitsOf(device, rig, x, [])).data, adapted.data, ROUNDING);
      assert.ok(distance(plain.data, adapted.data) > 0.1);
    } finally {
      await device.dispose();
    }
  });
});

describe("AdaLoRA's penalty", () => {
  const penalise = (orthogonality: AdaLoraConfig["orthogonality"], scale: number) => {
    const { model } = mlpRig();
    const adapter = attach(model, adalora, {
      targetModules: ["fc1", "fc2"],
      config: { ...base, orthogonality, orthRegWeight: 0.3 },
    });
    const graph = new Graph();
    const penalty = penaltyOf([adapter], {
      graph,
      parameter: (name, shape) => graph.state(name, { dtype: "float32", shape: shapeOf(shape) }),
    })!;
    const states = graph.inputs.map(({ value }) => value);
    graph.output("penalty", penalty);
    const used = states.filter(({ name }) => !name.includes("lora_E"));
    grad(penalty, used).forEach((gradient, i) => graph.output(used[i]!.name, gradient));
    const random = new Random(3);
    const values: Record<string, NdArray> = {};
    for (const { name, type } of states) {
      const shape = type.shape.map(({ size }) => size!);
      const [rows, columns] = shape as [number, number];
      values[name] = ndarray(
        shape,
        Array.from({ length: rows * columns }, () => scale * random.normal()),
      );
    }
    return { values, outputs: interpret(graph, values).outputs };
  };
  /** ‖M Mᵀ − I‖² of the rows of M, by loops. */
  const off = ({ shape: [rows, columns], data }: NdArray, byColumns: boolean) => {
    const [n, m] = byColumns ? [columns!, rows!] : [rows!, columns!];
    const at = (i: number, k: number) => data[byColumns ? k * columns! + i : i * columns! + k]!;
    let sum = 0;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        let dot = i === j ? -1 : 0;
        for (let k = 0; k < m; k++) dot += at(i, k) * at(j, k);
        sum += dot ** 2;
      }
    }
    return sum;
  };

  for (const form of ["mean", "squared"] as const) {
    it(`is what its formula says: ${form}`, () => {
      const { values, outputs } = penalise(form, 0.4);
      const distances = Object.entries(values).flatMap(([name, value]) =>
        name.includes("lora_E") ? [] : [off(value, name.includes("lora_B"))],
      );
      assert.equal(distances.length, 4);
      const expected =
        form === "squared"
          ? 0.3 * distances.reduce((a, b) => a + b, 0)
          : (0.3 / 4) * distances.reduce((a, b) => a + Math.sqrt(b), 0);
      assert.ok(Math.abs(outputs.penalty!.data[0]! - expected) <= 1e-9 * expected);
    });
  }

  it("has a gradient where everything is orthonormal", () => {
    const { model } = mlpRig();
    const adapter = attach(model, adalora, { targetModules: ["fc1"], config: { initR: 2, targetR: 1, alpha: 3 } });
    const graph = new Graph();
    const penalty = penaltyOf([adapter], {
      graph,
      parameter: (name, shape) => graph.state(name, { dtype: "float32", shape: shapeOf(shape) }),
    })!;
    const a = graph.inputs.map(({ value }) => value).find(({ name }) => name.includes("lora_A"))!;
    graph.output("gradient", grad(penalty, [a])[0]!);
    const unit = (rows: number, columns: number) =>
      ndarray(
        [rows, columns],
        Array.from({ length: rows * columns }, (_, i) => (Math.floor(i / columns) === i % columns ? 1 : 0)),
      );
    const { outputs } = interpret(graph, {
      "fc1.lora_A.default": unit(2, 7),
      "fc1.lora_B.default": unit(11, 2),
      "fc1.lora_E.default": unit(2, 1),
    });
    assert.deepEqual([...outputs.gradient!.data], Array(14).fill(0));
  });
});

describe("AdaLoRA after a step", () => {
  it("scores triplets by smoothed sensitivity times its uncertainty", () => {
    const { model } = mlpRig();
    const [target] = attach(model, adalora, {
      targetModules: ["fc1"],
      config: { ...base, beta1: 0.8, beta2: 0.7 },
    }).targets;
    const { afterStep } = adalora;
    const graph = new Graph();
    const feed = (name: string, shape: readonly number[]) =>
      graph.feed(name, { dtype: "float32", shape: shapeOf(shape) });
    const specs = [...target!.states].map(([name, spec]) => ({ ...spec, name }));
    const states = afterStep!.states(specs, target!.config).filter(({ name }) => name !== "dropped");
    const of = (prefix: string) =>
      Object.fromEntries(specs.map(({ name, shape }) => [name, feed(`${prefix}${name}`, shape)]));
    const { states: next, output } = afterStep!.update({
      layer: target!.layer,
      config: target!.config,
      parameters: of("p."),
      gradients: of("g."),
      states: {
        dropped: feed("dropped", [4]),
        ...Object.fromEntries(states.map(({ name, shape }) => [name, feed(name, shape)])),
      },
    });
    for (const [name, value] of Object.entries(next)) graph.output(name, value);
    graph.output("scores", output!);
    const random = new Random(6);
    const values: Record<string, NdArray> = Object.fromEntries(
      graph.inputs.map(({ value: { name, type } }) => {
        const shape = type.shape.map(({ size }) => size!);
        // Moving averages of numbers without a sign.
        const draw = () => (/exp_avg/.test(name) ? Math.abs(random.normal()) : random.normal());
        return [name, ndarray(shape, Array.from({ length: shape.reduce((a, b) => a * b, 1) }, draw))];
      }),
    );
    const { outputs } = interpret(graph, values);
    const scores = [Array<number>(4).fill(0), Array<number>(4).fill(0)];
    for (const [factor, byColumns] of [
      ["lora_A", false],
      ["lora_B", true],
      ["lora_E", false],
    ] as const) {
      const [p, g] = [values[`p.${factor}`]!, values[`g.${factor}`]!];
      const [oldI, oldU] = [values[`exp_avg_ipt.${factor}`]!.data, values[`exp_avg_unc.${factor}`]!.data];
      const columns = p.shape[1]!;
      const counted = p.data.length / 4;
      p.data.forEach((value, i) => {
        const sensitivity = Math.abs(value * g.data[i]!);
        const I = 0.8 * oldI[i]! + 0.2 * sensitivity;
        const U = 0.7 * oldU[i]! + 0.3 * Math.abs(sensitivity - I);
        const triplet = byColumns ? i % columns : Math.floor(i / columns);
        scores[0]![triplet]! += (oldI[i]! * oldU[i]!) / counted;
        scores[1]![triplet]! += (I * U) / counted;
        assert.ok(Math.abs(outputs[`exp_avg_ipt.${factor}`]!.data[i]! - I) < 1e-12);
        assert.ok(Math.abs(outputs[`exp_avg_unc.${factor}`]!.data[i]! - U) < 1e-12);
      });
    }
    assert.deepEqual(outputs.scores!.shape, [2, 4]);
    scores.flat().forEach((want, i) => assert.ok(Math.abs(outputs.scores!.data[i]! - want) < 1e-12));
  });

  it("drops by the scores of this step, at the last choice by those of the step before, and then keeps to it", async () => {
    const { model } = mlpRig();
    const adapter = attach(model, adalora, {
      targetModules: ["fc1", "fc2"],
      config: { initR: 2, targetR: 1, alpha: 3, tinit: 1, tfinal: 2, deltaT: 2 },
    });
    const held = new Map<string, Float32Array>();
    const output = (before: readonly number[], now: readonly number[]) =>
      ({ dtype: "float32", shape: [2, 2], data: Float32Array.of(...before, ...now) }) as const;
    const after = async (step: number, rows: readonly (readonly [readonly number[], readonly number[]])[]) => {
      for (const { layer } of adapter.targets) held.set(`${layer.name}.lora_E`, Float32Array.of(1, 1));
      await adalora.afterStep!.host!({
        config: adapter.config,
        step,
        totalSteps: 8,
        targets: adapter.targets.map((target, i) => ({ target, output: output(...rows[i]!) })),
        read: async ({ layer }, name) => held.get(`${layer.name}.${name}`) ?? new Float32Array(2),
        write: async ({ layer }, name, values) => void held.set(`${layer.name}.${name}`, values),
      });
      return adapter.targets.map(({ layer }) => [...held.get(`${layer.name}.lora_E`)!]);
    };
    const rows = [
      [
        [1, 2],
        [9, 8],
      ],
      [
        [3, 4],
        [1, 2],
      ],
    ] as const;
    // b = 4 until step 2; at step index 4: 2 + 2 (1 - 3/5)^3 = 2.128, so 2 triplets go; index 3 is no step of choice.
    assert.deepEqual(await after(2, rows), [
      [1, 1],
      [1, 1],
    ]);
    assert.deepEqual(await after(4, rows), [
      [1, 1],
      [1, 1],
    ]);
    assert.deepEqual(await after(5, rows), [
      [1, 1],
      [0, 0],
    ]);
    assert.deepEqual(await after(7, rows), [
      [0, 0],
      [1, 1],
    ]);
    assert.deepEqual(await after(8, [rows[1], rows[0]]), [
      [0, 0],
      [1, 1],
    ]);
  });
});

interface Step {
  readonly loss: number;
  readonly orthogonality: number;
  readonly budget: number;
  readonly kept: number;
}

interface Expected {
  readonly input_ids: readonly (readonly number[])[];
  readonly attention_mask: readonly (readonly number[])[];
  readonly labels: readonly (readonly number[])[];
  readonly run: {
    readonly steps: readonly Step[];
    readonly rank_pattern: Readonly<Record<string, readonly boolean[]>>;
  };
}

describe("AdaLoRA against PEFT", () => {
  let model: CausalLMModel;
  let dir: string;
  before(async () => {
    model = await AutoModelForCausalLM.fromPretrained("golden/causal-lm/qwen2-tied", { threads: 1 });
    dir = await mkdtemp(join(tmpdir(), "lowrank-adalora-"));
  });
  after(async () => {
    await model.dispose();
    await rm(dir, { recursive: true, force: true });
  });

  it("takes the 60 steps that PEFT takes: losses, singular values, ranks, and the file at the end", async () => {
    const folder = "golden/peft-methods/adalora-pruned";
    const { run, input_ids, attention_mask, labels } = JSON.parse(
      readFileSync(join(folder, "expected.json"), "utf8"),
    ) as Expected;
    const expected = await openSafetensors(join(folder, "expected.safetensors"));
    const peft = await PeftModel.fromPretrained(model, "golden/peft-methods/adalora", { isTrainable: true });
    try {
      const { targets } = model.language.adapter("default");
      const values = async (suffix: string) =>
        Promise.all(
          targets.map(async ({ layer, states }) => ({
            key: `base_model.model.${layer.name}.${suffix}`,
            data: Float32Array.from((await model.language.device.read(states.get(suffix)!.name)).data as Float32Array),
          })),
        );
      const singular: { key: string; data: Float32Array }[][] = [];
      const trainer = new Trainer({
        model: peft,
        trainDataset: input_ids.map((inputIds, i) => ({
          inputIds,
          labels: labels[i]!,
          attentionMask: attention_mask[i]!,
        })),
        args: {
          perDeviceTrainBatchSize: 3,
          learningRate: 0.01,
          weightDecay: 0.01,
          lrSchedulerType: "constant",
          maxGradNorm: 0,
          maxSteps: run.steps.length,
          loggingSteps: 1,
          shuffle: false,
        },
        callbacks: [{ onStep: async () => void singular.push(await values("lora_E")) }],
      });
      const { logHistory } = await trainer.train();
      for (const [i, { loss, orthogonality, kept: count }] of run.steps.entries()) {
        const total = loss + 0.5 * orthogonality;
        const ours = logHistory[i]!["loss"]!;
        assert.ok(Math.abs(ours - total) <= 1e-5 * total, `loss of step ${i}: ${ours}, ${total}`);
        const left = singular[i]!.flatMap(({ data }) => [...data]).filter((value) => value !== 0).length;
        assert.equal(left, count, `triplets after step ${i}`);
        for (const { key, data } of singular[i]!) {
          if (!expected.tensors.has(`step.${i}.${key}`)) continue;
          near(data, await expected.readFloat32(`step.${i}.${key}`), AFTER_TRAINING);
        }
      }
      const written = join(dir, "trained");
      await peft.savePretrained(written);
      const config = JSON.parse(readFileSync(join(written, "adapter_config.json"), "utf8")) as {
        readonly rank_pattern: unknown;
      };
      const pattern = Object.entries(run.rank_pattern).map(([key, left]) => [key.replace(/\.default$/, ""), left]);
      assert.deepEqual(config.rank_pattern, Object.fromEntries(pattern));
      await sameFiles(written, folder, AFTER_TRAINING);
    } finally {
      await expected.close();
      await peft.deleteAdapter("default");
    }
  });

  it("stops and goes on with the same bits, whatever phase it is in", async () => {
    const rows = [...Array(6).keys()].map((i) => ({
      inputIds: Array.from({ length: 9 }, (_, j) => (7 * i + 3 * j) % 43),
    }));
    const args = {
      perDeviceTrainBatchSize: 2,
      learningRate: 0.02,
      maxSteps: 12,
      lrSchedulerType: "constant",
      maxGradNorm: 0.5,
      loggingSteps: 1,
    } as const;
    const train = async (name: string, stopAt?: number, resumeFrom?: string) => {
      const peft = getPeftModel(model, {
        peftType: "ADALORA",
        initR: 4,
        targetR: 2,
        loraAlpha: 10,
        tinit: 2,
        tfinal: 3,
        deltaT: 2,
        targetModules: ["q_proj", "down_proj"],
      });
      const controller = new AbortController();
      const output = await new Trainer({
        model: peft,
        trainDataset: rows,
        args: { ...args, outputDir: join(dir, name) },
        callbacks: [{ onStep: ({ step }) => (step === stopAt ? controller.abort() : undefined) }],
      }).train({ signal: controller.signal, ...(resumeFrom === undefined ? {} : { resumeFrom }) });
      const folder = join(dir, `${name}-adapter`);
      await peft.savePretrained(folder);
      await peft.deleteAdapter("default");
      return { output, weights: await readFile(join(folder, "adapter_model.safetensors")) };
    };
    const whole = await train("whole");
    for (const stopAt of [1, 5, 10]) {
      const first = await train(`parts-${stopAt}`, stopAt);
      assert.equal(first.output.reason, "interrupted");
      const rest = await train(`parts-${stopAt}`, undefined, first.output.checkpoint);
      assert.equal(rest.output.reason, "finished");
      assert.ok(rest.weights.equals(whole.weights), `the weights differ after stopping at step ${stopAt}`);
    }
    const file = await openSafetensors(join(dir, "whole-adapter/adapter_model.safetensors"));
    const ranks = [...file.tensors].flatMap(([key, { shape }]) => (key.endsWith("lora_E") ? [shape[0]!] : []));
    await file.close();
    assert.equal(
      ranks.reduce((a, b) => a + b, 0),
      2 * ranks.length,
    );
  });

  it("says before the first step that a run is too short for its schedule", async () => {
    const peft = getPeftModel(model, { peftType: "ADALORA", tinit: 5, tfinal: 5, targetModules: ["q_proj"] });
    try {
      const trainer = new Trainer({
        model: peft,
        trainDataset: [{ inputIds: [1, 2, 3] }],
        args: { maxSteps: 10 },
      });
      await assert.rejects(trainer.train(), /tinit 5 and tfinal 5 leave none of 10 steps/);
    } finally {
      await peft.deleteAdapter("default");
    }
  });
});

async function sameFiles(ours: string, theirs: string, tolerance = 0): Promise<void> {
  const [a, b] = await Promise.all(
    [ours, theirs].map((dir) => openSafetensors(join(dir, "adapter_model.safetensors"))),
  );
  try {
    assert.deepEqual([...a!.tensors.keys()].sort(), [...b!.tensors.keys()].sort());
    for (const [key, { shape }] of b!.tensors) {
      assert.deepEqual(a!.tensors.get(key)!.shape, shape, key);
      near(await a!.readFloat32(key), await b!.readFloat32(key), tolerance);
    }
  } finally {
    await Promise.all([a!.close(), b!.close()]);
  }
  const read = (dir: string) => {
    const config = JSON.parse(readFileSync(join(dir, "adapter_config.json"), "utf8")) as Record<string, unknown>;
    const { base_model_name_or_path: _path, peft_version: _version, target_modules: modules, ...rest } = config;
    return { ...rest, target_modules: [...(modules as string[])].sort() };
  };
  assert.deepEqual(read(ours), read(theirs));
}

function near(got: ArrayLike<number | bigint>, want: ArrayLike<number | bigint>, tolerance: number): void {
  const error = distance(got, want);
  assert.ok(error <= tolerance, `differ by ${error} of the largest`);
}

function distance(got: ArrayLike<number | bigint>, want: ArrayLike<number | bigint>): number {
  assert.equal(got.length, want.length);
  const largest = Math.max(...Array.from<number | bigint, number>(want, (value) => Math.abs(Number(value))));
  return (
    Math.max(...Array.from<number | bigint, number>(got, (value, i) => Math.abs(Number(value) - Number(want[i])))) /
    largest
  );
}
