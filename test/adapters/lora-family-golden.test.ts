/** LoRA, its starts and DoRA against PEFT's files and numbers (golden/make/peft_methods.py). */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type AdaptedLayer, adapterHook, attach, resolveParameter } from "../../src/adapters/adapter.ts";
import { dora } from "../../src/adapters/dora.ts";
import { initializeAdapter } from "../../src/adapters/initialize.ts";
import { loraFa } from "../../src/adapters/lora-fa.ts";
import { lora, type LoraConfig, scaling } from "../../src/adapters/lora.ts";
import type { Method } from "../../src/adapters/method.ts";
import { loadAdapter } from "../../src/formats/peft/index.ts";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import { add } from "../../src/ir/ops/add.ts";
import { affine } from "../../src/ir/ops/affine.ts";
import { div } from "../../src/ir/ops/div.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { sqrt } from "../../src/ir/ops/sqrt.ts";
import { sub } from "../../src/ir/ops/sub.ts";
import { supervisedRows } from "../../src/lm/rows.ts";
import { adamw } from "../../src/optim/adam.ts";
import type { Optimizer } from "../../src/optim/optimizer.ts";
import { interpDevice } from "../../src/runtime/interp.ts";
import type { Device } from "../../src/runtime/runtime.ts";
import { describePeftCase, openBase } from "../../src/testing/describe-peft-case.ts";
import { lmGraphs } from "../../src/train/lm-graphs.ts";
import { LmStepper } from "../../src/train/lm-stepper.ts";
import { placesOf, rateAt } from "../../src/train/method-steps.ts";

const GOLDEN = fileURLToPath(new URL("../../../golden", import.meta.url));
/** LAPACK's singular vectors in float32: rounding, over the distance of the values, which is a few hundredths. */
const TAKEN = 3e-5;

const several = ["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"];
const base = { r: 4, alpha: 10 } as const;

describePeftCase(dora, { folder: "dora", attach: { config: { ...base, dropout: 0.25 }, targetModules: several } });
describePeftCase(dora, { folder: "dora-patterns" });
describePeftCase(dora, { folder: "dora-gpt2" });
describePeftCase(dora, { folder: "dora-embedding" });
for (const folder of ["lora-gaussian", "lora-rslora", "lora-bias", "lora-embedding", "lora-orthogonal"]) {
  describePeftCase(lora, { folder });
}
describePeftCase(lora, { folder: "pissa", taken: TAKEN, writtenAs: "pissa-converted" });
describePeftCase(lora, { folder: "pissa-patterns", taken: TAKEN, writtenAs: "pissa-patterns-converted" });
describePeftCase(lora, { folder: "pissa-gpt2", taken: TAKEN, writtenAs: "pissa-gpt2-converted" });
describePeftCase(lora, { folder: "olora", taken: TAKEN, writtenAs: "olora-converted" });
for (const folder of ["pissa-converted", "pissa-niter-converted", "olora-converted"])
  describePeftCase(lora, { folder });
for (const folder of ["loftq", "loftq-5", "loftq-8-bit"]) describePeftCase(lora, { folder, taken: TAKEN });

async function tensorOf(folder: string, name: string): Promise<Float32Array> {
  const file = await openSafetensors(join(GOLDEN, "peft-methods", folder, "expected.safetensors"));
  try {
    return await file.readFloat32(name);
  } finally {
    await file.close();
  }
}

function product(B: Float32Array, A: Float32Array, r: number, s: number): Float64Array {
  const [out, width] = [B.length / r, A.length / r];
  const BA = new Float64Array(out * width);
  for (let i = 0; i < out; i++) {
    for (let k = 0; k < r; k++)
      for (let j = 0; j < width; j++) BA[i * width + j]! += s * B[i * r + k]! * A[k * width + j]!;
  }
  return BA;
}

function near(got: ArrayLike<number>, want: ArrayLike<number>, tolerance: number, what: string): void {
  assert.equal(got.length, want.length, what);
  const largest = Math.max(...Array.from(want, Math.abs));
  const error = Math.max(...Array.from(got, (value, i) => Math.abs(value - want[i]!))) / largest;
  assert.ok(error <= tolerance, `${what}: ${error}`);
}

async function read(device: Device, { states }: AdaptedLayer, name: string): Promise<Float32Array> {
  return (await device.read(states.get(name)!.name)).data as Float32Array;
}

describe("starts", () => {
  const starts = [
    { folder: "pissa", base: "qwen2-tied", modules: ["q_proj", "v_proj", "down_proj"], config: { init: "pissa" } },
    {
      folder: "pissa-patterns",
      base: "qwen2-tied",
      modules: ["q_proj", "v_proj", "down_proj"],
      config: { init: "pissa", rankPattern: { v_proj: 2 }, alphaPattern: { down_proj: 7 } },
    },
    { folder: "pissa-gpt2", base: "gpt2", modules: ["c_attn", "c_fc"], config: { init: "pissa" } },
    { folder: "olora", base: "qwen2-tied", modules: ["q_proj", "v_proj", "down_proj"], config: { init: "olora" } },
    { folder: "loftq", base: "qwen2-window", modules: ["q_proj", "v_proj"], config: { init: "loftq" } },
    {
      folder: "loftq-8-bit",
      base: "qwen2-window",
      modules: ["q_proj", "v_proj"],
      config: { init: "loftq", loftqConfig: { bits: 8, iterations: 1 } },
    },
    {
      folder: "loftq-5",
      base: "qwen2-window",
      modules: ["q_proj", "v_proj"],
      config: { alpha: 4, init: "loftq", loftqConfig: { bits: 4, iterations: 5 } },
    },
  ] as const;
  for (const { folder, base: model, modules, config } of starts) {
    it(`${folder} starts with PEFT's product of B and A`, async () => {
      const device = interpDevice();
      const adaptable = await openBase(device, join(GOLDEN, "causal-lm", model));
      const adapter = attach(adaptable, lora, { targetModules: modules, config: { ...base, ...config } });
      await initializeAdapter(device, adapter, 1);
      for (const target of adapter.targets) {
        const { r } = target.config;
        const key = `base_model.model.${target.layer.name}`;
        const [A, B] = [await read(device, target, "lora_A.weight"), await read(device, target, "lora_B.weight")];
        const [theirA, theirB] = [
          await tensorOf(folder, `initial.${key}.lora_A.weight`),
          await tensorOf(folder, `initial.${key}.lora_B.weight`),
        ];
        // PEFT's loftq does not divide by the scale.
        const s = config.init === "loftq" ? scaling(target.config) : 1;
        near(product(B, A, r, s), product(theirB, theirA, r, 1), TAKEN, target.layer.name);
      }
    });
  }

  it("PiSSA in steps takes nearly what PEFT takes, and more steps come closer to the exact one", async () => {
    const device = interpDevice();
    const model = await openBase(device, join(GOLDEN, "causal-lm", "qwen2-tied"));
    const taken = async (init: LoraConfig["init"]) => {
      const adapter = attach(model, lora, { targetModules: ["q_proj"], config: { ...base, useRslora: true, init } });
      await initializeAdapter(device, adapter, 1);
      const [target] = adapter.targets;
      const [A, B] = [await read(device, target!, "lora_A.weight"), await read(device, target!, "lora_B.weight")];
      return product(B, A, 4, scaling(target!.config));
    };
    const exact = await taken("pissa");
    const error = async (init: LoraConfig["init"]) => {
      const found = await taken(init);
      return Math.hypot(...found.map((value, i) => value - exact[i]!)) / Math.hypot(...exact);
    };
    const [few, some, many] = [
      await error("pissa_niter_0"),
      await error("pissa_niter_4"),
      await error("pissa_niter_400"),
    ];
    assert.ok(few > some && some > many && many < 1e-3, `${few} ${some} ${many}`);
  });
});

interface Curve {
  readonly base: string;
  readonly input_ids: readonly (readonly number[])[];
  readonly attention_mask: readonly (readonly number[])[];
  readonly labels: readonly (readonly number[])[];
  readonly learning_rate: number;
  readonly losses: readonly number[];
  readonly eps?: number;
  readonly groups: readonly { readonly lr: number; readonly weight_decay: number; readonly names: readonly string[] }[];
}

/** Losses of ten steps through the trainer's graphs. */
async function curveOf(
  folder: string,
  method: Method<LoraConfig>,
  config: Partial<LoraConfig>,
  optimizerOf: (decays: boolean) => Optimizer,
): Promise<void> {
  const expected = JSON.parse(readFileSync(join(GOLDEN, "peft-methods", folder, "expected.json"), "utf8")) as Curve;
  const device = interpDevice();
  const model = await openBase(device, join(GOLDEN, "causal-lm", expected.base));
  const dir = join(GOLDEN, "peft-methods", folder);
  const { adapter } = await loadAdapter(device, model, dir, { method: method.name, config });
  const places = placesOf([adapter]);
  const group = (state: string) => {
    const plain = (name: string) => name.replace(/\.default(?=\.|$)|\.modules_to_save|\.base_layer|\.weight$/g, "");
    const found = expected.groups.filter(({ names }) =>
      names.some((name) => plain(name.replace("base_model.model.", "")) === plain(state)),
    );
    assert.equal(found.length, 1, state);
    return found[0]!;
  };
  const { learning_rate: rate } = expected;
  for (const spec of adapter.parameters) {
    const times = rateAt(places.get(spec.name), spec, rate);
    assert.ok(Math.abs(times * rate - group(spec.name).lr) < 1e-12, `${spec.name}: ${times} times ${rate}`);
  }
  const optimizers = { true: optimizerOf(true), false: optimizerOf(false) };
  const graphs = lmGraphs({
    model,
    trained: adapter.parameters,
    stateOf: resolveParameter([adapter], model.tied),
    adapt: (seed) => adapterHook([adapter], { seed }),
    adapters: [adapter],
    optimizerOf: ({ name }) => optimizers[`${group(name).weight_decay > 0}`],
    rateOf: (spec) => rateAt(places.get(spec.name), spec, rate),
    chunks: 1,
    checkpoint: false,
    typicalSizes: { B: 3, T: 11, C: 20 },
  });
  const stepper = await LmStepper.create(device, graphs, {
    model,
    optimizers: Object.values(optimizers),
    chunks: 1,
    maxGradNorm: 0,
    seed: 1,
    compile: {},
    adapters: [adapter],
    totalSteps: 10,
  });
  const rows = expected.input_ids.map((ids, b) => {
    const kept = <T>(values: readonly T[]) => values.filter((_, i) => expected.attention_mask[b]![i] === 1);
    return { inputIds: Int32Array.from(kept(ids)), labels: Int32Array.from(kept(expected.labels[b]!)) };
  });
  for (const [i, want] of expected.losses.entries()) {
    const { loss } = await stepper.step([supervisedRows(rows, 0)], rate);
    assert.ok(Math.abs(loss / want - 1) <= 3e-5, `step ${i + 1}: ${loss} and not ${want}`);
  }
  await stepper.dispose();
}

describe("PEFT's optimizers", () => {
  const plus = { loraplusLrRatio: 16 };
  const optimizer = (decays: boolean) => adamw({ weightDecay: decays ? 0.1 : 0 });
  it("LoRA+ with an embedding", () => curveOf("lora-plus", lora, plus, optimizer));
  it("LoRA+ with biases and norms", () => curveOf("lora-plus-vectors", lora, plus, optimizer));
  it("LoRA+ of DoRA", () => curveOf("lora-plus-dora", dora, plus, optimizer));

  /** That of transformers' old AdamW: ε is not corrected, and parameters shrink after the step, not before. */
  const oldAdamw = (): Optimizer => ({
    name: "adamw_hf",
    slots: ["m", "v"],
    scalars: ["step_size", "shrink"],
    scalarsAt: (step, rate) => ({
      step_size: (rate * Math.sqrt(1 - 0.999 ** step)) / (1 - 0.9 ** step),
      shrink: 1 - rate * 0.1,
    }),
    update({ parameter, gradient, slots, scalars }) {
      const m = add(affine(slots.m!, 0.9), affine(gradient, 0.1));
      const v = add(affine(slots.v!, 0.999), affine(mul(gradient, gradient), 0.001));
      const step = mul(div(m, affine(sqrt(v), 1, 1e-6)), scalars.step_size!);
      return { parameter: mul(sub(parameter, step), scalars.shrink!), slots: { m, v } };
    },
  });
  it("LoRA-FA", () => curveOf("lora-fa", loraFa, {}, oldAdamw));
  it("LoRA-FA with rsLoRA", () => curveOf("lora-fa-rslora", loraFa, {}, oldAdamw));
});
