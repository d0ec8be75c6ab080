/** A small language model with LoRA on every linear layer, its step, and a device to run it on. */
import { type Adapter, adapterHook, attach } from "../../src/adapters/adapter.ts";
import { initializeAdapter } from "../../src/adapters/initialize.ts";
import { lora } from "../../src/adapters/lora.ts";
import { supervisedRows } from "../../src/lm/rows.ts";
import { decoder } from "../../src/models/decoder.ts";
import { adamw } from "../../src/optim/adam.ts";
import { initializeParameters } from "../../src/parameters.ts";
import { Random } from "../../src/random.ts";
import type { CompileOptions, Device } from "../../src/runtime/runtime.ts";
import { lmGraphs } from "../../src/train/lm-graphs.ts";
import { LmStepper } from "../../src/train/lm-stepper.ts";

export interface SmallDecoderOptions {
  readonly blocks: number;
  readonly width: number;
  readonly tokens: number;
  readonly checkpoint: boolean;
  /** Bytes of optimizer states in memory. Default: all. */
  readonly budget?: number;
}

const VOCABULARY = 97;
const SUPERVISED = 7;

export function smallDecoder({ blocks, width, tokens, checkpoint, budget = Infinity }: SmallDecoderOptions) {
  const model = decoder({
    modelType: "qwen2",
    vocabSize: VOCABULARY,
    hiddenSize: width,
    intermediateSize: 3 * width,
    blocks,
    heads: 4,
    kvHeads: 2,
    headDim: width / 4,
    normEpsilon: 1e-6,
    rope: { theta: 1e4 },
    maxPositions: tokens,
    tied: true,
    qkvBias: true,
    outputBias: false,
    mlpBias: false,
    qkNorm: false,
    window: () => undefined,
    initializerRange: 0.05,
  });
  const adapter: Adapter = attach(model, lora, { targetModules: "all-linear", config: { r: 4, alpha: 10 } });
  const typicalSizes = { B: 1, T: tokens, C: SUPERVISED };
  const optimizer = adamw();
  const graphs = lmGraphs({
    model,
    trained: adapter.parameters,
    stateOf: (name) => model.tied[name] ?? name,
    adapt: (seed) => adapterHook([adapter], { seed }),
    optimizerOf: () => optimizer,
    chunks: 1,
    checkpoint,
    typicalSizes,
    optimizerBudget: budget,
    pageBytes: 1 << 14,
  });
  const random = new Random(5, 0);
  const inputIds = Int32Array.from({ length: tokens }, () => random.integer(VOCABULARY));
  const batch = supervisedRows([{ inputIds, labels: inputIds.slice().fill(-100, 0, tokens - SUPERVISED) }], 0);
  return {
    graphs,
    typicalSizes,
    batch,
    createStepper: async (device: Device, compile: CompileOptions = {}, pagesFolder?: string): Promise<LmStepper> => {
      await initializeParameters(device, model.parameters, 1);
      await initializeAdapter(device, adapter, 2);
      const options = {
        model,
        optimizers: [optimizer],
        chunks: 1,
        maxGradNorm: 0,
        seed: 0,
        ...(pagesFolder === undefined ? {} : { pagesFolder }),
      };
      return LmStepper.create(device, graphs, { ...options, compile: { typicalSizes, ...compile } });
    },
  };
}
