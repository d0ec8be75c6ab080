/** Starts of LoRA and DoRA on bases that are stored in few bits, and what can be done with adapters that took a part of the base. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type AdaptedLayer, type Adapter, attach } from "../../src/adapters/adapter.ts";
import { dora } from "../../src/adapters/dora.ts";
import { hotswapAdapter } from "../../src/adapters/hotswap.ts";
import { initializeAdapter } from "../../src/adapters/initialize.ts";
import { loraFa } from "../../src/adapters/lora-fa.ts";
import { lora, type LoraConfig, scaling } from "../../src/adapters/lora.ts";
import { configure } from "../../src/adapters/settings.ts";
import { loftq } from "../../src/adapters/starts/loftq.ts";
import { STARTS } from "../../src/adapters/starts/index.ts";
import { addWeightedAdapter } from "../../src/adapters/weighted.ts";
import { ConfigError } from "../../src/errors.ts";
import { AutoModelForCausalLM, type CausalLMModel } from "../../src/lm/causal-lm-model.ts";
import { getPeftModel, type PeftModel } from "../../src/lm/peft-model.ts";
import { conv2d } from "../../src/nn/conv2d.ts";
import { linear } from "../../src/nn/linear.ts";
import { Random } from "../../src/random.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import type { Device } from "../../src/runtime/runtime.ts";
import { batchOf, logitsOf, mlpRig, scatterParameters } from "../../src/testing/method-rig.ts";

const MODEL = join(fileURLToPath(new URL("../../../golden", import.meta.url)), "causal-lm", "qwen2-window");
const TOKENS = [[5, 7, 1, 30, 22, 11, 9]];
const settings = { peftType: "LORA", r: 4, loraAlpha: 10, targetModules: ["q_proj", "v_proj", "down_proj"] } as const;

async function logitsOfModel(model: CausalLMModel | PeftModel): Promise<number[]> {
  return [...(await model.forward({ inputIds: TOKENS })).logits];
}

function distance(a: readonly number[], b: readonly number[]): number {
  return Math.hypot(...a.map((value, i) => value - b[i]!)) / Math.hypot(...b);
}

async function valuesOf(device: Device, { states }: AdaptedLayer, name: string): Promise<Float32Array> {
  return Float32Array.from((await device.read(states.get(name)!.name)).data as Float32Array);
}

describe("a base in NF4", () => {
  it("LoftQ starts closer to the model before than the stored base is", async () => {
    const plain = await AutoModelForCausalLM.fromPretrained(MODEL);
    const wanted = await logitsOfModel(plain);
    await plain.dispose();
    const errors: number[] = [];
    for (const iterations of [0, 1, 6]) {
      const model = await AutoModelForCausalLM.fromPretrained(MODEL, { storage: "nf4" });
      const loftqConfig = { loftqBits: 4, loftqIter: Math.max(1, iterations) };
      const peft = getPeftModel(model, {
        ...settings,
        r: 8,
        targetModules: "all-linear",
        ...(iterations === 0 ? {} : { initLoraWeights: "loftq", loftqConfig }),
      });
      errors.push(distance(await logitsOfModel(peft), wanted));
      // With one iteration the stored weights are Q.
      assert.equal(model.language.adapter("default").copies.size === 0, iterations < 2);
      await model.dispose();
    }
    assert.ok(errors[0]! > 1.5 * errors[1]! && errors[0]! > 1.5 * errors[2]!, errors.join(" "));
  });

  it("LoftQ leaves less of the weight with every iteration", async () => {
    const draw = new Random(3);
    const W = { rows: 40, columns: 64, data: Float32Array.from({ length: 2560 }, () => draw.normal()) };
    const { layer } = linear("w", 64, 40);
    const left: number[] = [];
    for (const iterations of [1, 2, 5]) {
      const config = configure(lora, { r: 8, alpha: 20, init: "loftq", loftqConfig: { bits: 4, iterations } });
      const [weight, original, random] = [async () => W, async () => W, () => draw];
      const call = { layer, config, scaling: scaling(config), weight, original, random };
      const { A, B, weight: Q } = await loftq.factors!(call);
      const BA = product(B, A, 8, 2.5);
      left.push(Math.hypot(...W.data.map((value, i) => value - Q!.data[i]! - BA[i]!)));
      if (iterations === 1) assert.ok(left[0]! < 0.9 * Math.hypot(...W.data.map((value, i) => value - Q!.data[i]!)));
    }
    assert.ok(left[0]! > 1.02 * left[1]! && left[1]! > 1.02 * left[2]!, left.join(" "));
  });

  it("DoRA computes what it does on the values that the weights stand for", async () => {
    const model = await AutoModelForCausalLM.fromPretrained(MODEL, { storage: "nf4" });
    const base = await logitsOfModel(model);
    const peft = getPeftModel(model, { ...settings, useDora: true });
    assert.deepEqual(await logitsOfModel(peft), base, "the start");
    const { device } = model.language;
    const adapter = model.language.adapter("default");
    await scatterParameters(device, adapter.parameters);
    const adapted = await logitsOfModel(peft);
    await peft.mergeAdapter();
    assert.ok(distance(await logitsOfModel(model), adapted) < 1e-5);
    assert.ok(distance(adapted, base) > 0.1);
    await peft.unmergeAdapter();
    assert.deepEqual(await logitsOfModel(model), base);
    await model.dispose();
  });
});

interface Bench {
  readonly device: Device;
  readonly make: (name: string, config: Partial<LoraConfig>, method?: typeof lora) => Promise<Adapter<LoraConfig>>;
}

const rig = mlpRig();
const { x } = batchOf(rig, 4);

async function withBench(use: (bench: Bench) => Promise<void>): Promise<void> {
  const device = await ortDevice({ threads: 1 });
  try {
    await scatterParameters(device, rig.model.parameters, { seed: 3 });
    await use({
      device,
      async make(name, config, method = lora) {
        const adapter = attach(rig.model, method, { name, targetModules: ["fc1", "fc2"], config });
        await initializeAdapter(device, adapter, 1);
        await scatterParameters(device, adapter.parameters, { seed: name.length });
        return adapter;
      },
    });
  } finally {
    await device.dispose();
  }
}

describe("adapters that took a part of the base", () => {
  it("are mixed by their updates", () =>
    withBench(async ({ device, make }) => {
      const one = await make("one", { r: 3, alpha: 7, init: "pissa" });
      const other = await make("other", { r: 2, alpha: 5 }, loraFa);
      for (const combinationType of ["cat", "linear"] as const) {
        const name = `mixed-${combinationType}`;
        const mixed = await addWeightedAdapter(device, [one, other], [0.5, -2], { name, combinationType });
        for (const [i, target] of mixed.targets.entries()) {
          const want = await weightedUpdate(device, [one.targets[i]!, other.targets[i]!], [0.5, -2]);
          const [A, B] = [
            await valuesOf(device, target, "lora_A.weight"),
            await valuesOf(device, target, "lora_B.weight"),
          ];
          const got = product(B, A, target.config.r, scaling(target.config));
          assert.ok(distance([...got], [...want]) < 1e-5, name);
        }
      }
    }));

  it("are not swapped in, and DoRA is neither mixed nor swapped", () =>
    withBench(async ({ device, make }) => {
      const plain = await make("plain", { r: 4 });
      const pissa = await make("pissa", { r: 4, init: "pissa" });
      await assert.rejects(hotswapAdapter(device, plain, pissa), /fc1 has what the start "pissa" took from the base/);
      const sized = await make("sized", { r: 4 }, dora);
      await assert.rejects(
        hotswapAdapter(device, plain, sized),
        /only LoRA adapters can be swapped: got dora into lora/,
      );
      await assert.rejects(addWeightedAdapter(device, [sized], [1], { name: "m" }), /only LoRA adapters can be mixed/);
    }));

  it("work one after the other", () =>
    withBench(async ({ device, make }) => {
      const one = await make("one", { r: 3, alpha: 7 });
      const sized = await make("sized", { r: 2, alpha: 5 }, dora);
      const both = await logitsOf(device, rig, x, [one, sized]);
      const turned = await logitsOf(device, rig, x, [sized, one]);
      assert.ok(
        distance([...(both.data as Float32Array)], [...(turned.data as Float32Array)]) > 1e-3,
        "the order counts",
      );
    }));
});

function product(B: Float32Array, A: Float32Array, r: number, s: number): Float64Array {
  const [out, width] = [B.length / r, A.length / r];
  const BA = new Float64Array(out * width);
  for (let i = 0; i < out; i++) {
    for (let k = 0; k < r; k++)
      for (let j = 0; j < width; j++) BA[i * width + j]! += s * B[i * r + k]! * A[k * width + j]!;
  }
  return BA;
}

async function weightedUpdate(
  device: Device,
  targets: readonly AdaptedLayer<LoraConfig>[],
  weights: readonly number[],
): Promise<Float64Array> {
  let sum: Float64Array | undefined;
  for (const [i, target] of targets.entries()) {
    const { config, states } = target;
    const s = weights[i]! * scaling(config);
    const parts = [
      ["lora_B.weight", "lora_A.weight", s] as const,
      ["initial_B.weight", "initial_A.weight", -s] as const,
    ];
    for (const [b, a, factor] of parts) {
      if (!states.has(a)) continue;
      const BA = product(await valuesOf(device, target, b), await valuesOf(device, target, a), config.r, factor);
      sum = sum === undefined ? BA : sum.map((value, j) => value + BA[j]!);
    }
  }
  return sum!;
}

describe("what starts cannot do", () => {
  it("is said with the layer and the setting", async () => {
    const conv = conv2d("conv", 3, 4, [2, 2]);
    const on = (init: LoraConfig["init"]) =>
      attach({ parameters: conv.parameters, layers: [conv.layer] }, lora, {
        targetModules: ["conv"],
        config: { init },
      });
    for (const init of ["pissa", "olora", "loftq", "orthogonal"] as const) {
      assert.throws(() => on(init), new RegExp(`conv: the start "${init}" is not defined on a convolution`));
    }
    const { layer, parameters } = linear("small", 3, 5);
    const device = await ortDevice({ threads: 1 });
    try {
      await scatterParameters(device, parameters);
      const start = (config: Partial<LoraConfig>) =>
        initializeAdapter(
          device,
          attach({ parameters, layers: [layer] }, lora, { targetModules: ["small"], config }),
          1,
        );
      await assert.rejects(start({ r: 4, init: "pissa" }), /small: the start "pissa" has no rank 4 here: .*at most 3/);
      await assert.rejects(start({ r: 2, alpha: -1, init: "pissa" }), /needs alpha > 0/);
    } finally {
      await device.dispose();
    }
  });

  it("is said of settings together", () => {
    const refused = (config: object, message: RegExp) =>
      assert.throws(
        () => configure(lora, config as Partial<LoraConfig>),
        (error) => {
          assert.ok(error instanceof ConfigError);
          assert.match(error.message, message);
          return true;
        },
      );
    refused({ init: "orthogonal", r: 3 }, /needs an even rank, and r is 3/);
    refused({ init: "pissa", loraBias: true }, /loraBias is true with the pissa start/);
    refused({ init: "pissa_niter_x" }, /init is "pissa_niter_x", not one of kaiming, .*pissa/);
    refused({ loftqConfig: { bits: 5, iterations: 0 } }, /bits is 5, not 4 or 8; .*iterations is 0/);
    refused({ loraplusLrRatio: -1 }, /loraplusLrRatio is -1, not above 0/);
    assert.equal(new Set(STARTS.map(({ name }) => name)).size, STARTS.length);
  });
});
