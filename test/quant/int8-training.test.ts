/** Training the bundled model on frozen weights in int8, step by step beside float32. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { adapterHook, attach } from "../../src/adapters/adapter.ts";
import { initializeAdapter } from "../../src/adapters/initialize.ts";
import { lora } from "../../src/adapters/lora.ts";
import { readModelConfig } from "../../src/formats/model/config.ts";
import { loadWeights } from "../../src/formats/model/weights.ts";
import { reachable, results } from "../../src/ir/graph.ts";
import { optimize } from "../../src/ir/passes/index.ts";
import { supervisedRows } from "../../src/lm/rows.ts";
import { familyOf } from "../../src/models/index.ts";
import { adamw } from "../../src/optim/adam.ts";
import { storedModel, type WeightStorage } from "../../src/quant/index.ts";
import { int8 } from "../../src/quant/int8.ts";
import { stateName } from "../../src/quant/stored-model.ts";
import { Random } from "../../src/random.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import { lmGraphs, type LmGraphs } from "../../src/train/lm-graphs.ts";
import { LmStepper } from "../../src/train/lm-stepper.ts";

const FOLDER = join(fileURLToPath(new URL("../../..", import.meta.url)), "bundled", "model");
const STEPS = 20;
const OPTIONS = { doubleQuantization: false };

interface Run {
  readonly losses: readonly number[];
  readonly graphs: LmGraphs;
  readonly states: ReadonlySet<string>;
}

/** Every matrix of the model in int8, the table of the vocabulary too, or none. */
async function train(
  quantised: boolean,
  { steps = STEPS, checkpoint = false }: { steps?: number; checkpoint?: boolean } = {},
): Promise<Run> {
  const config = await readModelConfig(FOLDER);
  const model = familyOf(config.modelType).build(config);
  const device = await ortDevice({ threads: 1 });
  try {
    await loadWeights(device, model.parameters, FOLDER, { tied: model.tied });
    const stored = new Map<string, WeightStorage>();
    for (const { name, shape } of quantised ? model.parameters : []) {
      if (shape.length !== 2) continue;
      const tensors = int8.encode((await device.read(name)).data as Float32Array, shape, OPTIONS);
      for (const tensor of int8.tensors(shape, OPTIONS)) {
        await device.write(stateName(name, tensor), { ...tensor, data: tensors[tensor.name]! });
      }
      // Whatever would read the float32 values fails.
      await device.free(name);
      stored.set(name, { storage: int8, options: OPTIONS, shape });
    }
    const adapter = attach(model, lora, { targetModules: "all-linear", config: { r: 4, alpha: 10 } });
    await initializeAdapter(device, adapter, 1);
    const optimizer = adamw();
    const graphs = lmGraphs({
      model,
      trained: adapter.parameters,
      stateOf: (parameter) => model.tied[parameter] ?? parameter,
      stored: storedModel(stored),
      adapt: (seed) => adapterHook([adapter], { seed }),
      optimizerOf: () => optimizer,
      chunks: 2,
      checkpoint,
      typicalSizes: {},
    });
    const options = { model, optimizers: [optimizer], chunks: 2, maxGradNorm: 1, seed: 0, compile: {} };
    const stepper = await LmStepper.create(device, graphs, options);
    const random = new Random(5, 0);
    const examples = [24, 17].map((length) => {
      const inputIds = Int32Array.from({ length }, () => random.integer(model.vocabSize));
      return { inputIds, labels: inputIds };
    });
    const losses: number[] = [];
    for (let step = 0; step < steps; step++) {
      losses.push((await stepper.step([supervisedRows(examples, 0)], 1e-3)).loss);
    }
    await stepper.dispose();
    return { losses, graphs, states: new Set(graphs.accumulate.inputs.map(({ value }) => value.name)) };
  } finally {
    await device.dispose();
  }
}

test("losses follow those of float32, and no weight is there in float32", async () => {
  const [plain, integer] = [await train(false), await train(true)];
  assert.ok(plain.losses.at(-1)! < 0.7 * plain.losses[0]!, "the batch is learnt");
  plain.losses.forEach((loss, step) => {
    const got = integer.losses[step]!;
    // Rounding moves the loss at the start, and by no more later on.
    assert.ok(Math.abs(got / loss - 1) < 0.01, `step ${step + 1}: ${got}, not ${loss}`);
  });
  assert.notEqual(integer.losses[0], plain.losses[0]);
  const matrices = [...integer.states].filter(
    (name) => name.endsWith(".weight") && !name.includes("norm") && !name.includes("lora"),
  );
  assert.deepEqual(matrices, []);
});

test("checkpointing changes nothing", async () => {
  const [kept, again] = [await train(true, { steps: 3 }), await train(true, { steps: 3, checkpoint: true })];
  kept.losses.forEach((loss, step) => assert.ok(Math.abs(again.losses[step]! / loss - 1) < 1e-4));
});

test("layers that read the same rows quantise them once", async () => {
  const { graphs } = await train(true, { steps: 0 });
  const graph = optimize(graphs.accumulate, { device: "cpu", typicalSizes: {} });
  const nodes = reachable(graph, results(graph));
  const count = (name: string) => nodes.filter(({ op }) => op.name === name).length;
  const blocks = new Set(nodes.flatMap(({ scope }) => /model\.layers\.\d+\.mlp\.up_proj/.exec(scope)?.[0] ?? [])).size;
  const chunks = 2;
  // Forward: q, k and v; o; gate and up; down. Backward one for each product, but none below the lowest adapter.
  const backward = 7 * blocks - 3;
  assert.equal(count("integerMatmul"), 7 * blocks + backward + chunks * (1 + 2));
  assert.equal(count("quantizeRows"), 4 * blocks + backward + chunks * (1 + 2));
});
