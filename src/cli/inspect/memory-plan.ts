/** What a step of training needs in memory, before anything runs: counted on the graphs that would run. */
import { type Adapter, adapterHook, resolveParameter } from "../../adapters/adapter.ts";
import type { Graph } from "../../ir/graph.ts";
import { peakMemory } from "../../ir/memory.ts";
import { optimize } from "../../ir/passes/index.ts";
import type { DimSizes } from "../../ir/shape.ts";
import { virtualTokens } from "../../lm/adapted-sequence.ts";
import type { TextModel } from "../../models/text-model.ts";
import { countElements, type ParameterSpec } from "../../nn/module.ts";
import { adamw } from "../../optim/adam.ts";
import { headChunks } from "../../train/head-chunks.ts";
import { lmGraphs, pagingOf } from "../../train/lm-graphs.ts";

export interface PlanOptions {
  /** Parameters that are trained, by the names of their states. */
  readonly trained: readonly ParameterSpec[];
  readonly adapters: readonly Adapter[];
  /** Rows of a micro-batch. */
  readonly batch: number;
  /** Tokens of a row. */
  readonly length: number;
  /** Share of the tokens that are trained on, in (0, 1]. */
  readonly supervised: number;
  readonly checkpoint: boolean;
  /** Bytes of the optimizer's states that stay in memory, the rest is paged. Default: all of them. */
  readonly optimizerBudget?: number;
}

/** Bytes, all of them. */
export interface MemoryPlan {
  /** Frozen weights: pages of files, which the system can give to others and read again. */
  readonly frozen_weights: number;
  /** Weights of the base that are trained, in private memory. */
  readonly trained_weights: number;
  /** Parameters of adapters, in private memory. */
  readonly adapter: number;
  readonly gradients: number;
  /** AdamW: two numbers for each parameter; where they are paged, those in memory and the largest part that is read at a time. */
  readonly optimizer: number;
  /** On the disk, and in no sum here. */
  readonly optimizer_paged: number;
  /** Results of the blocks that are alive at the same time, at the most. */
  readonly activations: number;
  /** What the vocabulary head adds to that. */
  readonly head: number;
  /** Number of chunks in which the head is computed. */
  readonly head_chunks: number;
  /** The program and the engine. */
  readonly program: number;
  /** Everything, and everything but pages of files. */
  readonly total: number;
  readonly total_private: number;
  /** The operation at which most is allocated. */
  readonly peak_at: string;
}

const FLOAT32_BYTES = 4;
/** Node and ONNX Runtime, with nothing loaded (measured: 120 to 160 MB). */
const PROGRAM_BYTES = 150e6;

/** @throws ConfigError if nothing is trained */
export function memoryPlan(model: TextModel, options: PlanOptions): MemoryPlan {
  const { trained, adapters, batch, length, supervised, checkpoint, optimizerBudget = Infinity } = options;
  const rows = Math.max(1, Math.ceil(batch * length * supervised));
  const chunks = headChunks(rows, model.outputs);
  const places = length + virtualTokens(adapters).count;
  const sizes: DimSizes = { B: batch, T: places, C: Math.ceil(rows / chunks) };
  const optimizer = adamw();
  const graphs = lmGraphs({
    model,
    trained,
    stateOf: resolveParameter(adapters, model.tied),
    ...(adapters.length === 0 ? {} : { adapt: (seed) => adapterHook(adapters, { seed }) }),
    adapters,
    optimizerOf: () => optimizer,
    chunks,
    checkpoint,
    typicalSizes: sizes,
    optimizerBudget,
  });
  const { resident, paged, atOnce } = pagingOf(graphs);
  const graph: Graph = optimize(graphs.accumulate, { device: "cpu", typicalSizes: sizes });
  const peak = peakMemory(graph, sizes);
  // With one row the head needs nothing to speak of.
  const activations = peakMemory(graph, { ...sizes, C: 1 }).bytes;

  const own = new Set(model.parameters.map(({ name }) => name));
  const base = countElements(model.parameters) * FLOAT32_BYTES;
  const ofBase = countElements(trained.filter(({ name }) => own.has(name))) * FLOAT32_BYTES;
  const adapter = countElements(adapters.flatMap(({ parameters }) => parameters)) * FLOAT32_BYTES;
  const gradients = countElements(trained) * FLOAT32_BYTES;
  const privateBytes = [ofBase, adapter, gradients, resident + atOnce, peak.bytes, PROGRAM_BYTES].reduce(
    (a, b) => a + b,
    0,
  );
  return {
    frozen_weights: base - ofBase,
    trained_weights: ofBase,
    adapter,
    gradients,
    optimizer: resident + atOnce,
    optimizer_paged: paged,
    activations,
    head: peak.bytes - activations,
    head_chunks: chunks,
    program: PROGRAM_BYTES,
    total: privateBytes + base - ofBase,
    total_private: privateBytes,
    peak_at: peak.node?.scope ?? "",
  };
}
