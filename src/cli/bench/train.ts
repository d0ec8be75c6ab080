/**
 * `lowrank bench train`: how fast a LoRA step is on this machine, and how much memory it takes. The model has the shape of a
 * known one and random weights, so that nothing is downloaded; the adapter is on every linear layer but the head.
 */
import { type Adapter, adapterHook, attach } from "../../adapters/adapter.ts";
import { initializeAdapter } from "../../adapters/initialize.ts";
import { METHODS } from "../../adapters/index.ts";
import { lora } from "../../adapters/lora.ts";
import type { Method } from "../../adapters/method.ts";
import { ConfigError } from "../../errors.ts";
import { type Encoded, IGNORED } from "../../data/sample.ts";
import { supervisedRows } from "../../lm/rows.ts";
import { storedModel } from "../../quant/index.ts";
import { adamw } from "../../optim/adam.ts";
import { Random } from "../../random.ts";
import { ortDevice } from "../../runtime/node/device-node.ts";
import { peakBytes } from "../../runtime/node/process-memory-node.ts";
import { headChunks } from "../../train/head-chunks.ts";
import { lmGraphs } from "../../train/lm-graphs.ts";
import { LmStepper } from "../../train/lm-stepper.ts";
import { table } from "../terminal/table.ts";
import { mapWeights, withRandomWeights } from "./random-weights.ts";
import { modelOfShape } from "./shapes.ts";
import { storedAs, weightsName } from "./storages.ts";

/** Steps before those that are timed: pages are read, memory is mapped. */
const WARM_UP = 2;
const KIB = 1024;

export interface BenchTrainOptions {
  readonly shape: string;
  /** Of a sequence. */
  readonly tokens: number;
  /** Sequences of a step, computed together. Default: 1. */
  readonly batch?: number;
  /** Share of the tokens that are trained on, the last ones. */
  readonly supervised: number;
  /** Of the frozen weights. */
  readonly storage: string;
  readonly gradientCheckpointing?: true;
  /** Tuning method, of those that are put on layers. Default: lora. */
  readonly method?: string;
  readonly r: number;
  readonly steps: number;
  /** 0 takes one per core. */
  readonly threads: number;
  readonly layers?: number;
  readonly keep?: true;
  readonly json?: true;
}

export interface BenchTrainReport {
  readonly shape: string;
  readonly layers: number;
  readonly tokens: number;
  readonly batch: number;
  readonly supervised: number;
  readonly storage: string;
  readonly gradient_checkpointing: boolean;
  readonly method: string;
  readonly r: number;
  readonly trainable_params: number;
  readonly threads: number;
  readonly steps: number;
  /** Median of the timed steps, in seconds. */
  readonly step_s: number;
  readonly tokens_per_s: number;
  /** Peak of the resident memory of the process, mapped weights included, in 10⁶ KiB as `ru_maxrss` counts. */
  readonly peak_rss_gb: number;
  /** Of the first and the last step. */
  readonly loss: readonly [first: number, last: number];
}

/** @throws ConfigError if there is no such shape */
export async function benchTrain(options: BenchTrainOptions, signal: AbortSignal): Promise<BenchTrainReport> {
  const { shape, tokens, batch: B = 1, r, threads, layers, storage } = options;
  const checkpoint = options.gradientCheckpointing === true;
  const model = modelOfShape(shape, layers);
  const supervised = Math.max(1, tokens - Math.floor(tokens * (1 - options.supervised)));
  const stored = storedAs(model, storage);
  const name = weightsName(shape, model, storage);
  return withRandomWeights(model, { name, keep: options.keep === true, stored, signal }, async (path) => {
    const device = await ortDevice({ threads });
    try {
      await mapWeights(device, path);
      const method = methodNamed(options.method ?? lora.name);
      const config = Object.fromEntries(
        Object.entries({ r, alpha: 2 * r }).filter(([name]) => Object.hasOwn(method.settings, name)),
      );
      const adapter: Adapter = attach(model, method, { targetModules: "all-linear", config });
      await initializeAdapter(device, adapter, 0);
      const trained = adapter.parameters;
      const chunks = headChunks(B * supervised, model.outputs);
      const typicalSizes = { B, T: tokens, C: Math.ceil((B * supervised) / chunks) };
      const optimizer = adamw();
      const graphs = lmGraphs({
        model,
        trained,
        stateOf: (parameter) => model.tied[parameter] ?? parameter,
        stored: storedModel(stored),
        adapt: (seed) => adapterHook([adapter], { seed }),
        optimizerOf: () => optimizer,
        chunks,
        checkpoint,
        typicalSizes,
      });
      signal.throwIfAborted();
      const stepper = await LmStepper.create(device, graphs, {
        model,
        optimizers: [optimizer],
        chunks,
        maxGradNorm: 1,
        seed: 0,
        compile: { typicalSizes },
      });
      const examples = Array.from({ length: B }, (_, i) => randomExample(i, model.vocabSize, tokens, supervised));
      const batch = [supervisedRows(examples, 0)];
      const seconds: number[] = [];
      const losses: number[] = [];
      for (let i = 0; i < WARM_UP + options.steps; i++) {
        signal.throwIfAborted();
        const start = performance.now();
        const { loss } = await stepper.step(batch, 1e-4);
        losses.push(loss);
        if (i >= WARM_UP) seconds.push((performance.now() - start) / 1000);
      }
      const step = median(seconds);
      return {
        shape,
        layers: model.blocks,
        tokens,
        batch: B,
        supervised: options.supervised,
        storage,
        gradient_checkpointing: checkpoint,
        method: method.name,
        r,
        trainable_params: trained.reduce((sum, spec) => sum + spec.shape.reduce((a, b) => a * b, 1), 0),
        threads,
        steps: options.steps,
        step_s: rounded(step, 3),
        tokens_per_s: rounded((B * tokens) / step, 1),
        peak_rss_gb: rounded((await peakBytes()) / KIB / 1e6, 2),
        loss: [losses[0]!, losses.at(-1)!],
      };
    } finally {
      await device.dispose();
    }
  });
}

/** @throws ConfigError naming the methods that are put on layers */
function methodNamed(name: string): Method<object> {
  const methods = METHODS.filter((each) => each.parameters !== undefined && each.forward !== undefined);
  const method = methods.find((each) => each.name === name);
  if (method !== undefined) return method;
  const expected = methods.map((each) => each.name).join(", ");
  throw new ConfigError({ where: "--method", what: "no such method of layers", got: name, expected });
}

export async function runBenchTrain(options: BenchTrainOptions, signal: AbortSignal): Promise<void> {
  const report = await benchTrain(options, signal);
  if (options.json) {
    process.stdout.write(`${JSON.stringify(report)}\n`);
    return;
  }
  const rows = [
    ["model", `${report.shape}, ${report.layers} layers, ${report.storage}, random weights`],
    ["adapter", `${report.method} r = ${report.r}, ${report.trainable_params.toLocaleString("en")} parameters`],
    [
      "batch",
      `${report.batch === 1 ? "" : `${report.batch} × `}${report.tokens} tokens, ${Math.round(100 * report.supervised)} % of them trained on`,
    ],
    ["gradient checkpointing", report.gradient_checkpointing ? "yes" : "no"],
    ["step", `${report.step_s} s (median of ${report.steps})`],
    ["speed", `${report.tokens_per_s} tokens/s`],
    ["peak memory", `${report.peak_rss_gb} GB, the mapped weights included`],
  ];
  process.stdout.write(`${table(rows, { align: ["left", "left"] })}\n`);
}

/** Random tokens, of which the last `supervised` are trained on. */
function randomExample(index: number, vocabSize: number, tokens: number, supervised: number): Encoded {
  const random = new Random(1, index);
  const inputIds = Int32Array.from({ length: tokens }, () => random.integer(vocabSize));
  return { inputIds, labels: inputIds.map((id, i) => (i < tokens - supervised ? IGNORED : id)) };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
