/** Steps per second of the CIFAR-10 demonstration's training steps, on random images. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Adapter, adapterHook, attach } from "../src/adapters/adapter.ts";
import { lora } from "../src/adapters/lora.ts";
import { mapParameters, saveParameters } from "../src/formats/model/parameters.ts";
import { matmulFlops } from "../src/ir/cost.ts";
import { Graph } from "../src/ir/graph.ts";
import { matmul } from "../src/ir/ops/matmul.ts";
import { reduceMean } from "../src/ir/ops/reduce-mean.ts";
import { softmaxCrossEntropy } from "../src/ir/ops/softmax-cross-entropy.ts";
import { optimize } from "../src/ir/passes/index.ts";
import { dim } from "../src/ir/shape.ts";
import { mlp } from "../src/models/mlp.ts";
import type { Layer } from "../src/nn/module.ts";
import { adam } from "../src/optim/adam.ts";
import { Random } from "../src/random.ts";
import type { Feeds } from "../src/runtime/runtime.ts";
import { ortDevice } from "../src/runtime/node/device-node.ts";
import { initializeParameters } from "../src/parameters.ts";
import { Stepper } from "../src/train/stepper.ts";
import { trainingGraph } from "../src/train/training-graph.ts";

export type StepKind = "full" | "lora-activation" | "lora-weight";

const WIDTHS = [3072, 4096, 2048, 10];
const WARM_UP = 5;

export interface StepTimes {
  /** Milliseconds of each step, after a warm-up. */
  readonly times: readonly number[];
  /** Floating-point operations of the products of matrices in one step. */
  readonly flops: number;
}

export async function timeSteps(kind: StepKind, batch: number, steps: number, threads: number): Promise<StepTimes> {
  const folder = await mkdtemp(join(tmpdir(), "lowrank-bench-"));
  const device = await ortDevice({ threads });
  try {
    const model = mlp(WIDTHS);
    await initializeParameters(device, model.parameters, 0);
    const adapters = kind === "full" ? [] : [attachLora(model.layers, kind)];
    if (adapters.length > 0) {
      // As in the demonstration: the frozen base is mapped from its file.
      await saveParameters(device, model.parameters, join(folder, "base.safetensors"));
      await mapParameters(device, model.parameters, join(folder, "base.safetensors"));
    }
    for (const { parameters } of adapters) await initializeParameters(device, parameters, 1);
    const added = adapters.flatMap(({ parameters }) => parameters);
    const typicalSizes = { B: batch };
    const training = trainingGraph({
      parameters: [...model.parameters, ...added],
      trainable: new Set((kind === "full" ? model.parameters : added).map(({ name }) => name)),
      optimizer: adam(),
      typicalSizes,
      ...(adapters.length === 0 ? {} : { adapt: (seed) => adapterHook(adapters, { seed }) }),
      loss: (tracing) => {
        const x = tracing.graph.feed("x", { dtype: "float32", shape: [dim("B"), dim(WIDTHS[0]!)] });
        const labels = tracing.graph.feed("labels", { dtype: "int32", shape: [dim("B")] });
        return reduceMean(softmaxCrossEntropy(model.forward(tracing, { x }), labels));
      },
    });
    const stepper = await Stepper.create(device, training, {
      optimizer: adam(),
      typicalSizes,
      frozen: training.frozen,
      prepack: kind !== "full" && batch < 64,
      arena: true,
    });
    const feeds = randomBatch(batch);
    const times: number[] = [];
    for (let i = 0; i < steps + WARM_UP; i++) {
      const start = performance.now();
      await stepper.step(feeds, 1e-3);
      if (i >= WARM_UP) times.push(performance.now() - start);
    }
    return { times, flops: matmulFlops(optimize(training.graph, { device: "cpu", typicalSizes }), typicalSizes) };
  } finally {
    await device.dispose();
    await rm(folder, { recursive: true });
  }
}

/** GFLOPS of the engine on a product of two square matrices: what this machine's GEMM can do. */
export async function gemmRate(threads: number): Promise<number> {
  const n = 2048;
  const graph = new Graph();
  const [a, b] = ["a", "b"].map((name) => graph.feed(name, { dtype: "float32", shape: [dim(n), dim(n)] }));
  graph.output("sum", reduceMean(matmul(a!, b!)));
  const device = await ortDevice({ threads });
  try {
    const executable = await device.compile(graph);
    const random = new Random(0);
    const matrix = {
      dtype: "float32",
      shape: [n, n],
      data: Float32Array.from({ length: n * n }, () => random.normal()),
    } as const;
    const times: number[] = [];
    for (let i = 0; i < 8; i++) {
      const start = performance.now();
      await executable.run({ a: matrix, b: matrix });
      times.push(performance.now() - start);
    }
    return (2 * n ** 3) / Math.min(...times) / 1e6;
  } finally {
    await device.dispose();
  }
}

function attachLora(layers: readonly Layer[], kind: StepKind): Adapter {
  const form = kind === "lora-weight" ? "weight" : "activation";
  return attach({ parameters: [], layers }, lora, { config: { r: 1, alpha: 1, init: "standard-normal", form } });
}

function randomBatch(batch: number): Feeds {
  const random = new Random(0);
  const x = Float32Array.from({ length: batch * WIDTHS[0]! }, () => random.normal());
  const labels = Int32Array.from({ length: batch }, () => random.integer(10));
  return {
    x: { dtype: "float32", shape: [batch, WIDTHS[0]!], data: x },
    labels: { dtype: "int32", shape: [batch], data: labels },
  };
}
