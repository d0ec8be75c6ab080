/**
 * Whether training on frozen weights in 8 bits loses anything: curves of the loss on a real checkpoint and a real text, the
 * same batches and starts in float32 and in int8, three seeds. Writes `int8-curves.json`, `.svg` and `.md` into a folder.
 *
 *     node int8-curves.js <model folder> <text file> <output folder> [steps]
 *
 * The model is small and its activations have no outliers. Large ones have channels that are many times larger than the
 * others (Dettmers et al. 2022, arXiv 2208.07339, §4), so that all of it is done again with some of them made: a channel of
 * the norms' results is multiplied by a factor and the weights that read it divided by it, which changes no function.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { adapterHook, attach } from "../src/adapters/adapter.ts";
import { initializeAdapter } from "../src/adapters/initialize.ts";
import { lora } from "../src/adapters/lora.ts";
import { loadTokenizer } from "../src/data/text/index.ts";
import { lineChartSvg } from "../src/figures/line-chart.ts";
import { readModelConfig } from "../src/formats/model/config.ts";
import { loadWeights } from "../src/formats/model/weights.ts";
import { LanguageModel } from "../src/lm/language-model.ts";
import { supervisedFeeds, supervisedRows, type SupervisedRows } from "../src/lm/rows.ts";
import { sequenceFeeds } from "../src/lm/sequence.ts";
import type { TextModel } from "../src/models/text-model.ts";
import { familyOf } from "../src/models/index.ts";
import { adamw } from "../src/optim/adam.ts";
import { storedModel, type StoredParameters, type WeightStorage } from "../src/quant/index.ts";
import { int8 } from "../src/quant/int8.ts";
import { stateName } from "../src/quant/stored-model.ts";
import { Random } from "../src/random.ts";
import { ortDevice } from "../src/runtime/node/device-node.ts";
import type { Device } from "../src/runtime/runtime.ts";
import { lmGraphs } from "../src/train/lm-graphs.ts";
import { LmStepper } from "../src/train/lm-stepper.ts";

const SEEDS = [1, 2, 3];
const STEPS = 300;
const [BATCH, LENGTH, HELD_OUT] = [4, 128, 48];
const LEARNING_RATE = 2e-3;
const LAST = 20;
const OUTLIERS = { channels: 4, factor: 25 };

type Kind = "float32" | "int8" | "int8 with table";
const KINDS: readonly Kind[] = ["float32", "int8", "int8 with table"];

interface Curve {
  readonly kind: Kind;
  readonly outliers: boolean;
  readonly seed: number;
  readonly losses: readonly number[];
  /** Mean of the last steps. */
  readonly final: number;
  /** Before training, and after it. */
  readonly heldOut: readonly [before: number, after: number];
}

const NO_CONSTANTS = { doubleQuantization: false };

async function main([modelFolder, textFile, output, steps]: readonly string[]): Promise<void> {
  if (modelFolder === undefined || textFile === undefined || output === undefined) {
    throw new Error("usage: int8-curves.js <model folder> <text file> <output folder> [steps]");
  }
  const count = steps === undefined ? STEPS : Number(steps);
  const tokenizer = await loadTokenizer(modelFolder);
  const blocks = blocksOf(await tokenizer.encode(await readFile(textFile, "utf8")));
  const curves: Curve[] = [];
  for (const outliers of [false, true]) {
    for (const seed of SEEDS) {
      const runs = KINDS.map((kind) => train(modelFolder, blocks, { kind, seed, outliers, steps: count }));
      for (const curve of await Promise.all(runs)) {
        curves.push(curve);
        const [before, after] = curve.heldOut;
        const figures = `${curve.final.toFixed(4)}, held out ${before.toFixed(4)} to ${after.toFixed(4)}`;
        process.stdout.write(`${outliers ? "outliers, " : ""}${curve.kind}, seed ${seed}: ${figures}\n`);
      }
    }
  }
  await mkdir(output, { recursive: true });
  const svg = lineChartSvg(
    curves
      .filter(({ outliers }) => !outliers)
      .map(({ kind, seed, losses }) => ({ name: `${kind}, seed ${seed}`, x: losses.map((_, i) => i + 1), y: losses })),
    { title: "LoRA on frozen weights in float32 and in int8", xLabel: "step", yLabel: "cross-entropy (nats)" },
  );
  await writeFile(join(output, "int8-curves.svg"), svg);
  await writeFile(join(output, "int8-curves.json"), `${JSON.stringify({ steps: count, curves })}\n`);
  await writeFile(join(output, "int8-curves.md"), report(curves, count));
}

async function train(
  folder: string,
  blocks: readonly Int32Array[],
  { kind, seed, outliers, steps }: { kind: Kind; seed: number; outliers: boolean; steps: number },
): Promise<Curve> {
  const config = await readModelConfig(folder);
  const model = familyOf(config.modelType).build(config);
  const device = await ortDevice({ threads: 1 });
  try {
    await loadWeights(device, model.parameters, folder, { tied: model.tied });
    if (outliers) await addOutliers(device, model);
    const stored = await store(device, model, kind);
    const adapter = attach(model, lora, { targetModules: "all-linear", config: { r: 8, alpha: 16 } });
    await initializeAdapter(device, adapter, seed);
    const language = new LanguageModel(device, model, storedModel(stored));
    await language.add(adapter);
    const train = blocks.slice(0, -HELD_OUT);
    const held = supervisedRows(blocks.slice(-HELD_OUT).map(whole), 0);
    const heldLoss = () =>
      language.loss(
        { ...sequenceFeeds(model, held), ...supervisedFeeds(held, 1, 1 / held.rows.length) },
        Array.from({ length: HELD_OUT }, () => ["default"]),
        1,
      );
    const before = await heldLoss();
    const optimizer = adamw();
    const graphs = lmGraphs({
      model,
      trained: adapter.parameters,
      stateOf: (parameter) => model.tied[parameter] ?? parameter,
      stored: storedModel(stored),
      adapt: (value) => adapterHook([adapter], { seed: value }),
      optimizerOf: () => optimizer,
      chunks: 1,
      checkpoint: false,
      typicalSizes: { B: BATCH, T: LENGTH, C: BATCH * (LENGTH - 1) },
    });
    const options = { model, optimizers: [optimizer], chunks: 1, maxGradNorm: 1, seed, compile: {} };
    const stepper = await LmStepper.create(device, graphs, options);
    const random = new Random(seed, 0);
    const losses: number[] = [];
    for (let step = 0; step < steps; step++) {
      const batch: SupervisedRows = supervisedRows(
        Array.from({ length: BATCH }, () => whole(train[random.integer(train.length)]!)),
        0,
      );
      const { loss } = await stepper.step([batch], LEARNING_RATE * (1 - step / steps));
      losses.push(loss);
    }
    await stepper.dispose();
    return { kind, outliers, seed, losses, final: mean(losses.slice(-LAST)), heldOut: [before, await heldLoss()] };
  } finally {
    await device.dispose();
  }
}

/** Puts the weights of linear layers, and the table if it is asked for, into int8. */
async function store(device: Device, model: TextModel, kind: Kind): Promise<StoredParameters> {
  const stored = new Map<string, WeightStorage>();
  if (kind === "float32") return stored;
  for (const layer of model.layers) {
    const spec = model.parameters.find(({ name }) => name === layer.weight);
    const isTable = layer.kind === "embedding" || (layer.kind === "linear" && layer.isOutput === true);
    if (spec === undefined || stored.has(spec.name) || (isTable && kind === "int8")) continue;
    const { data } = await device.read(spec.name);
    const tensors = int8.encode(data as Float32Array, spec.shape, NO_CONSTANTS);
    for (const tensor of int8.tensors(spec.shape, NO_CONSTANTS)) {
      const { name, dtype, shape } = tensor;
      await device.write(stateName(spec.name, tensor), { dtype, shape, data: tensors[name]! });
    }
    // What is left in float32 cannot be read by mistake.
    await device.free(spec.name);
    stored.set(spec.name, { storage: int8, options: NO_CONSTANTS, shape: spec.shape });
  }
  return stored;
}

async function addOutliers(device: Device, model: TextModel): Promise<void> {
  const { channels, factor } = OUTLIERS;
  const change = async (name: string, changed: (value: number, i: number) => number) => {
    const tensor = await device.read(name);
    await device.write(name, { ...tensor, data: (tensor.data as Float32Array).map(changed) });
  };
  const isOutlier = (channel: number) => channel % Math.floor(model.hiddenSize / channels) === 5;
  for (let block = 0; block < model.blocks; block++) {
    const at = (name: string) => `model.layers.${block}.${name}.weight`;
    const readers: Record<string, readonly string[]> = {
      input_layernorm: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
      post_attention_layernorm: ["mlp.gate_proj", "mlp.up_proj"],
    };
    for (const [norm, linears] of Object.entries(readers)) {
      await change(at(norm), (value, i) => (isOutlier(i) ? value * factor : value));
      for (const linear of linears) {
        await change(at(linear), (value, i) => (isOutlier(i % model.hiddenSize) ? value / factor : value));
      }
    }
  }
}

function blocksOf(tokens: Int32Array): Int32Array[] {
  const count = Math.floor(tokens.length / LENGTH);
  return Array.from({ length: count }, (_, i) => tokens.slice(i * LENGTH, (i + 1) * LENGTH));
}

function whole(inputIds: Int32Array): { inputIds: Int32Array; labels: Int32Array } {
  return { inputIds, labels: inputIds };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function report(curves: readonly Curve[], steps: number): string {
  const percent = (value: number, base: number) => `${(100 * (value / base - 1)).toFixed(2)} %`;
  const lines = [false, true].flatMap((outliers) =>
    SEEDS.flatMap((seed) => {
      const of = (kind: Kind) => curves.find((c) => c.kind === kind && c.seed === seed && c.outliers === outliers)!;
      const base = of("float32");
      return KINDS.map((kind) => {
        const { final, heldOut } = of(kind);
        const cells = [
          kind,
          outliers ? "yes" : "no",
          seed,
          heldOut[0].toFixed(4),
          final.toFixed(4),
          percent(final, base.final),
          heldOut[1].toFixed(4),
          percent(heldOut[1], base.heldOut[1]),
        ];
        return `| ${cells.join(" | ")} |`;
      });
    }),
  );
  return `# Training on frozen weights in int8

LoRA r 8 on all linear layers, AdamW, ${steps} steps of ${BATCH} × ${LENGTH} tokens, the same batches for all; ${HELD_OUT} blocks held out.
Loss in nats: mean of the last ${LAST} steps, and held out before and after training. "Outliers": ${OUTLIERS.channels} channels of every norm's
result ${OUTLIERS.factor} times as large, the weights that read them as much smaller.

| frozen weights | outliers | seed | held out before | last ${LAST} steps | to float32 | held out after | to float32 |
| --- | --- | --- | --- | --- | --- | --- | --- |
${lines.join("\n")}
`;
}

await main(process.argv.slice(2));
