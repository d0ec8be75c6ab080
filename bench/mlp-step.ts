/** Steps per second of the CIFAR-10 demonstration's training steps, on random images. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { adapterHook, attach } from "../src/adapters/adapter.ts";
import { lora } from "../src/adapters/lora.ts";
import { reduceMean } from "../src/ir/ops/reduce-mean.ts";
import { softmaxCrossEntropy } from "../src/ir/ops/softmax-cross-entropy.ts";
import { dim } from "../src/ir/shape.ts";
import { mlp } from "../src/models/mlp.ts";
import { adam } from "../src/optim/adam.ts";
import { Random } from "../src/random.ts";
import { ortDevice } from "../src/runtime/node/device-node.ts";
import { initializeParameters, mapParameters, saveParameters } from "../src/train/parameters.ts";
import { Stepper } from "../src/train/stepper.ts";
import { trainingGraph } from "../src/train/training-graph.ts";

export type StepKind = "full" | "lora-activation" | "lora-weight";

const WIDTHS = [3072, 4096, 2048, 10];

/** Milliseconds of each of `steps` steps, after a warm-up. */
export async function timeSteps(kind: StepKind, batch: number, steps: number): Promise<number[]> {
  const folder = await mkdtemp(join(tmpdir(), "lowrank-bench-"));
  const device = await ortDevice();
  try {
    const model = mlp(WIDTHS);
    await initializeParameters(device, model.parameters, 0);
    const form = kind === "lora-weight" ? "weight" : "activation";
    const adapters =
      kind === "full"
        ? []
        : [attach(model.layers, lora, { config: { r: 1, alpha: 1, init: "standard-normal", form } })];
    if (adapters.length > 0) {
      await saveParameters(device, model.parameters, join(folder, "base.safetensors"));
      await mapParameters(device, model.parameters, join(folder, "base.safetensors"));
    }
    for (const { parameters } of adapters) await initializeParameters(device, parameters, 1);
    const added = adapters.flatMap(({ parameters }) => parameters);
    const optimizer = adam();
    const typicalSizes = { B: batch };
    const training = trainingGraph({
      parameters: [...model.parameters, ...added],
      trainable: new Set((kind === "full" ? model.parameters : added).map(({ name }) => name)),
      optimizer,
      typicalSizes,
      ...(adapters.length === 0 ? {} : { adapt: (seed) => adapterHook(adapters, seed) }),
      loss: (tracing) => {
        const x = tracing.graph.feed("x", { dtype: "float32", shape: [dim("B"), dim(WIDTHS[0]!)] });
        const labels = tracing.graph.feed("labels", { dtype: "int32", shape: [dim("B")] });
        return reduceMean(softmaxCrossEntropy(model.forward(tracing, { x }), labels));
      },
    });
    const stepper = await Stepper.create(device, training, {
      optimizer,
      typicalSizes,
      frozen: training.frozen,
      prepack: kind !== "full" && batch < 64,
    });
    const random = new Random(0);
    const x = Float32Array.from({ length: batch * WIDTHS[0]! }, () => random.normal());
    const labels = Int32Array.from({ length: batch }, () => random.integer(10));
    const feeds = {
      x: { dtype: "float32", shape: [batch, WIDTHS[0]!], data: x },
      labels: { dtype: "int32", shape: [batch], data: labels },
    } as const;
    const times: number[] = [];
    for (let i = 0; i < steps + 5; i++) {
      const start = performance.now();
      await stepper.step(feeds, 1e-3);
      if (i >= 5) times.push(performance.now() - start);
    }
    return times;
  } finally {
    await device.dispose();
    await rm(folder, { recursive: true });
  }
}
