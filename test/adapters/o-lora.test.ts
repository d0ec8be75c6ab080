/** O-LoRA: the contract of methods, both forms of its penalty, tasks one after the other, and files that are a plain LoRA. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { attachAfter, startFollowing } from "../../src/adapters/follow.ts";
import { initializeAdapter } from "../../src/adapters/initialize.ts";
import { lora } from "../../src/adapters/lora.ts";
import { merge } from "../../src/adapters/merge.ts";
import type { Method } from "../../src/adapters/method.ts";
import { oLora, type OLoraConfig } from "../../src/adapters/o-lora.ts";
import { ConfigError } from "../../src/errors.ts";
import { loadAdapter, saveAdapter } from "../../src/formats/peft/index.ts";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import { grad } from "../../src/ir/grad.ts";
import { Graph } from "../../src/ir/graph.ts";
import { ndarray, type NdArray } from "../../src/ir/ndarray.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import { AutoModelForCausalLM, type CausalLMModel } from "../../src/lm/causal-lm-model.ts";
import { getPeftModel, PeftModel } from "../../src/lm/peft-model.ts";
import { Random } from "../../src/random.ts";
import { interpDevice, interpret } from "../../src/runtime/interp.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import type { Device } from "../../src/runtime/runtime.ts";
import { describeMethod } from "../../src/testing/describe-method.ts";
import { batchOf, logitsOf, mlpRig, scatterParameters, tokenRig } from "../../src/testing/method-rig.ts";
import { penaltyOf } from "../../src/train/method-steps.ts";
import { Trainer } from "../../src/train/trainer.ts";

describeMethod<OLoraConfig>(
  oLora,
  [
    { name: "first task", config: { r: 4, alpha: 10 } },
    { name: "dropout", config: { r: 3, alpha: 5, dropout: 0.25 } },
    {
      name: "weights of its own in the penalty",
      config: { r: 2, alpha: 3, lambda1: 2, lambda2: 0.1, overlap: "absolute" },
    },
  ],
  {
    elements: ({ inFeatures, outFeatures }, { r }) => r * (inFeatures + outFeatures),
    models: ["mlp"],
    notInFile: ["lambda1", "lambda2", "overlap"],
    golden: [],
  },
);

const ROUNDING = 1e-5;

/** Adapters of tasks on the same layers, one after the other, filled with noise. */
async function tasks(device: Device, rig = mlpRig(), first: Method<object> = oLora): Promise<Adapter[]> {
  await scatterParameters(device, rig.model.parameters, { seed: 3 });
  const found: Adapter[] = [];
  for (const [i, r] of [4, 3, 2].entries()) {
    const previous = found.at(-1);
    const options = { name: `task${i}`, config: { r, alpha: 5 + i } };
    const adapter: Adapter =
      previous === undefined
        ? attach<object>(rig.model, first, { targetModules: ["fc1", "fc2"], ...options })
        : attachAfter<object>(previous, oLora, options);
    await initializeAdapter(device, adapter, i);
    await scatterParameters(device, adapter.parameters, { seed: i });
    if (previous !== undefined) await startFollowing(device, adapter, previous);
    found.push(adapter);
  }
  return found;
}

describe("O-LoRA's tasks", () => {
  for (const [name, rig, first] of [
    ["linear layers", mlpRig(), oLora],
    ["a layer with W [in, out], after a plain LoRA", tokenRig(), lora],
  ] as const) {
    it(`add up: ${name}`, async () => {
      const device = await ortDevice({ threads: 1 });
      try {
        const { x } = batchOf(rig, 9);
        const [one, two, three] = (await tasks(device, rig, first)) as [Adapter, Adapter, Adapter];
        const sequence = [one, two, three];
        assert.deepEqual(
          sequence.map(({ parameters }) => parameters.map(({ shape }) => Math.min(...shape))),
          [Array(4).fill(4), Array(4).fill(3), Array(4).fill(2)],
        );
        const base = await logitsOf(device, rig, x, []);
        // A new pair starts at zero: the next task begins where the one before has ended.
        for (const { parameters } of [three, two]) {
          for (const { name: state, shape } of parameters.filter((spec) => spec.name.includes("lora_B"))) {
            const length = shape.reduce((a, b) => a * b, 1);
            await device.write(state, { dtype: "float32", shape, data: new Float32Array(length) });
          }
        }
        await startFollowing(device, three, two);
        const outputs = await Promise.all(sequence.map((adapter) => logitsOf(device, rig, x, [adapter])));
        assert.ok(distance(outputs[0]!.data, base.data) > 0.05);
        for (const { data } of outputs.slice(1)) near(data, outputs[0]!.data, ROUNDING);

        await tasks(device, rig, first);
        const all = await logitsOf(device, rig, x, [three]);
        assert.ok(distance(all.data, outputs[0]!.data) > 0.05);
        await merge(device, three);
        near((await logitsOf(device, rig, x, [])).data, all.data, ROUNDING);
      } finally {
        await device.dispose();
      }
    });
  }

  it("train the new pair and nothing else, and a file is a plain LoRA that says whose rows are whose", async () => {
    const device = interpDevice();
    const rig = mlpRig();
    const { x } = batchOf(rig, 9);
    const [, , three] = (await tasks(device, rig)) as [Adapter, Adapter, Adapter];
    assert.ok(three.parameters.every(({ name }) => /lora_[AB]\.task2\.weight$/.test(name)));
    const dir = await mkdtemp(join(tmpdir(), "lowrank-o-lora-"));
    try {
      await saveAdapter(device, three, dir);
      const settings = JSON.parse(readFileSync(join(dir, "adapter_config.json"), "utf8")) as Record<string, unknown>;
      const s = 7 / 2;
      assert.deepEqual(
        [settings["peft_type"], settings["r"], settings["lora_alpha"], settings["o_lora_tasks"], settings["lambda_1"]],
        ["LORA", 9, 9 * s, [4, 3, 2], undefined],
      );
      const expected = await logitsOf(device, rig, x, [three]);

      const again = interpDevice();
      await scatterParameters(again, rig.model.parameters, { seed: 3 });
      const { adapter, warnings } = await loadAdapter(again, rig.model, dir);
      assert.deepEqual(warnings, []);
      assert.equal(adapter.method, oLora);
      assert.deepEqual((adapter.config as OLoraConfig).tasks, [4, 3, 2]);
      // Several tasks are not trained together.
      assert.deepEqual(adapter.parameters, []);
      near((await logitsOf(again, rig, x, [adapter])).data, expected.data, ROUNDING);
      const fourth = attachAfter(adapter, oLora, { name: "task3", config: { r: 1, alpha: 2 } });
      await initializeAdapter(again, fourth, 1);
      await startFollowing(again, fourth, adapter);
      assert.deepEqual(fourth.config.earlier, [4, 3, 2]);
      near((await logitsOf(again, rig, x, [fourth])).data, expected.data, ROUNDING);

      // To any other program it is a LoRA.
      const { o_lora_tasks: _tasks, ...plain } = settings;
      await writeFile(join(dir, "adapter_config.json"), JSON.stringify(plain));
      const other = await loadAdapter(again, rig.model, dir, { name: "plain" });
      assert.equal(other.adapter.method, lora);
      near((await logitsOf(again, rig, x, [other.adapter])).data, expected.data, ROUNDING);
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it("say what cannot be followed", () => {
    const { model } = mlpRig();
    const one = attach(model, oLora, { targetModules: ["fc1", "fc2"] });
    const fails = (work: () => unknown, message: RegExp) =>
      assert.throws(work, (error) => error instanceof ConfigError && message.test(error.message));
    fails(() => attachAfter(one, oLora, { name: "b", targetModules: ["fc1", "fc3"] }), /fc2 is missing; fc3 is new/);
    fails(() => attachAfter(one, lora, { name: "b" }), /no adapter of this method goes on/);
    const uneven = attach(model, lora, { targetModules: ["fc1", "fc2"], config: { rankPattern: { fc1: 2 } } });
    fails(() => attachAfter(uneven, oLora, { name: "b" }), /fc1 has a rank of its own/);
    const biased = attach(model, lora, { targetModules: ["fc1"], config: { loraBias: true } });
    fails(() => attachAfter(biased, oLora, { name: "b" }), /fc1 has lora_B\.bias/);
    const copies = attach(model, lora, { targetModules: ["fc1"], modulesToSave: ["fc3"] });
    fails(() => attachAfter(copies, oLora, { name: "b" }), /copies of the base's parameters/);
  });
});

describe("O-LoRA's penalty", () => {
  for (const overlap of ["squared", "absolute"] as const) {
    it(`is what its formula says, and so is its gradient: ${overlap}`, () => {
      const { model } = mlpRig();
      const one = attach(model, oLora, { targetModules: ["fc1", "fc2"], config: { r: 4 } });
      const two = attachAfter(one, oLora, { name: "b", config: { r: 3, lambda1: 0.7, lambda2: 0.2, overlap } });
      const graph = new Graph();
      const penalty = penaltyOf([two], {
        graph,
        parameter: (name, shape) => graph.state(name, { dtype: "float32", shape: shapeOf(shape) }),
      })!;
      graph.output("penalty", penalty);
      const states = graph.inputs.map(({ value }) => value);
      const trained = states.filter(({ name }) => name.includes("lora_"));
      assert.equal(trained.length, 4);
      grad(penalty, trained).forEach((gradient, i) => graph.output(trained[i]!.name, gradient));
      const random = new Random(5);
      const values: Record<string, NdArray> = Object.fromEntries(
        states.map(({ name, type }) => {
          const shape = type.shape.map(({ size }) => size!);
          return [
            name,
            ndarray(
              shape,
              Array.from({ length: shape[0]! * shape[1]! }, () => random.normal()),
            ),
          ];
        }),
      );
      const { outputs } = interpret(graph, values);
      const formula = (at: Readonly<Record<string, NdArray>>) => {
        let sum = 0;
        for (const layer of ["fc1", "fc2"]) {
          const a = at[`${layer}.lora_A.b.weight`]!;
          const earlier = at[`${layer}.earlier_A.b.weight`]!;
          const width = a.shape[1]!;
          for (let j = 0; j < earlier.shape[0]!; j++) {
            for (let k = 0; k < a.shape[0]!; k++) {
              let dot = 0;
              for (let i = 0; i < width; i++) dot += earlier.data[j * width + i]! * a.data[k * width + i]!;
              sum += 0.7 * (overlap === "squared" ? dot ** 2 : Math.abs(dot));
            }
          }
          sum += 0.2 * (Math.hypot(...a.data) + Math.hypot(...at[`${layer}.lora_B.b.weight`]!.data));
        }
        return sum;
      };
      const expected = formula(values);
      assert.ok(Math.abs(outputs.penalty!.data[0]! - expected) <= 1e-12 * expected);
      for (const { name } of trained) {
        const { shape, data } = values[name]!;
        const direction = data.map(() => random.normal());
        const at = (step: number) =>
          formula({
            ...values,
            [name]: ndarray(
              shape,
              data.map((value, i) => value + step * direction[i]!),
            ),
          });
        const measured = (at(1e-6) - at(-1e-6)) / 2e-6;
        const derived = outputs[name]!.data.reduce((sum, value, i) => sum + value * direction[i]!, 0);
        assert.ok(Math.abs(measured - derived) <= 1e-7 * Math.hypot(...outputs[name]!.data), name);
      }
    });
  }
});

describe("O-LoRA on a language model", () => {
  let model: CausalLMModel;
  let dir: string;
  before(async () => {
    model = await AutoModelForCausalLM.fromPretrained("golden/causal-lm/qwen2-tied", { threads: 1 });
    dir = await mkdtemp(join(tmpdir(), "lowrank-o-lora-"));
  });
  after(async () => {
    await model.dispose();
    await rm(dir, { recursive: true, force: true });
  });

  const rowsOf = (task: number) =>
    [...Array(6).keys()].map((i) => ({
      inputIds: Array.from({ length: 9 }, (_, j) => (task * 5 + (task + 2) * j + 7 * i) % 43),
    }));
  const args = {
    perDeviceTrainBatchSize: 3,
    learningRate: 0.02,
    maxSteps: 25,
    lrSchedulerType: "constant",
    loggingSteps: 1,
  } as const;
  const targetModules = ["q_proj", "v_proj"];
  /** Trains the first task and writes it. */
  const first = async () => {
    const peft = getPeftModel(model, { peftType: "LORA", method: "o-lora", r: 4, loraAlpha: 10, targetModules });
    await new Trainer({ model: peft, trainDataset: rowsOf(0), args }).train();
    await peft.savePretrained(join(dir, "first"));
    await peft.deleteAdapter("default");
    return join(dir, "first");
  };
  const second = async (from: string, settings: Record<string, unknown>) => {
    const peft = await PeftModel.fromPretrained(model, from, { adapterName: "before" });
    peft.addAdapter(
      "default",
      { peftType: "LORA", method: "o-lora", r: 4, loraAlpha: 10, ...settings },
      { previous: "before", seed: 1 },
    );
    peft.setAdapter("default");
    return peft;
  };
  const remove = async (peft: PeftModel) => {
    await peft.deleteAdapter("default");
    await peft.deleteAdapter("before");
  };
  /** Frobenius norm of A_1 A_2ᵀ over all layers. */
  const overlapOf = async () => {
    let sum = 0;
    for (const { layer, states } of model.language.adapter("default").targets) {
      const [earlier, a] = await Promise.all(
        ["earlier_A.weight", "lora_A.weight"].map(
          async (name) => (await model.language.device.read(states.get(name)!.name)).data as Float32Array,
        ),
      );
      const width = layer.inFeatures;
      for (let j = 0; j < earlier!.length / width; j++) {
        for (let k = 0; k < a!.length / width; k++) {
          let dot = 0;
          for (let i = 0; i < width; i++) dot += earlier![j * width + i]! * a![k * width + i]!;
          sum += dot ** 2;
        }
      }
    }
    return Math.sqrt(sum);
  };

  it("keeps a new task orthogonal to the one before, the more so the larger λ₁ is, and leaves that one as it was", async () => {
    const from = await first();
    for (const overlap of ["squared", "absolute"]) {
      const found: number[] = [];
      for (const lambda of [0, 0.5, 5]) {
        const peft = await second(from, { lambda_1: lambda, overlap });
        await peft.forward({ inputIds: [[1, 2]] });
        const start = await overlapOf();
        await new Trainer({ model: peft, trainDataset: rowsOf(1), args }).train();
        found.push((await overlapOf()) / start);
        await peft.savePretrained(join(dir, "second"), { selected: ["default"] });
        const [one, both] = await Promise.all(
          [from, join(dir, "second")].map((path) => openSafetensors(join(path, "adapter_model.safetensors"))),
        );
        for (const [key, { shape }] of one!.tensors) {
          const [rank, width] = key.includes("lora_A") ? shape : [...shape].reverse();
          assert.deepEqual(
            both!.tensors.get(key)!.shape,
            key.includes("lora_A") ? [2 * rank!, width] : [width, 2 * rank!],
          );
          const all = await both!.readFloat32(key);
          const kept = key.includes("lora_A")
            ? all.slice(0, rank! * width!)
            : all.filter((_, i) => i % (2 * rank!) < rank!);
          assert.deepEqual(kept, await one!.readFloat32(key), key);
        }
        await Promise.all([one!.close(), both!.close()]);
        await remove(peft);
      }
      const [none, some, much] = found as [number, number, number];
      assert.ok(some < 0.7 * none && much < 0.7 * none, `${overlap}: of the start are left ${found.join(", ")}`);
    }
  });

  it("stops and goes on with the same bits", async () => {
    const from = await first();
    const train = async (name: string, stopAt?: number, resumeFrom?: string) => {
      const peft = await second(from, {});
      const controller = new AbortController();
      const output = await new Trainer({
        model: peft,
        trainDataset: rowsOf(1),
        args: { ...args, maxSteps: 6, outputDir: join(dir, name) },
        callbacks: [{ onStep: ({ step }) => (step === stopAt ? controller.abort() : undefined) }],
      }).train({ signal: controller.signal, ...(resumeFrom === undefined ? {} : { resumeFrom }) });
      await peft.savePretrained(join(dir, `${name}-adapter`), { selected: ["default"] });
      await remove(peft);
      return { output, weights: readFileSync(join(dir, `${name}-adapter/adapter_model.safetensors`)) };
    };
    const whole = await train("whole");
    const part = await train("part", 3);
    assert.equal(part.output.reason, "interrupted");
    const rest = await train("part", undefined, part.output.checkpoint);
    assert.equal(rest.output.reason, "finished");
    assert.ok(rest.weights.equals(whole.weights));
  });
});

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
