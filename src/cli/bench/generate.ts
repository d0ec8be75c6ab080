/**
 * `lowrank bench generate`: how fast this machine generates, against what its memory allows. The model has the shape of a
 * known one and random weights, so that nothing is downloaded.
 */
import { generate } from "../../lm/generate.ts";
import { LanguageModel } from "../../lm/language-model.ts";
import type { TextModel } from "../../models/text-model.ts";
import { elementBytes } from "../../ir/dtype.ts";
import { sizeOfShape } from "../../ir/ndarray.ts";
import { storedModel, type StoredParameters } from "../../quant/index.ts";
import { Random } from "../../random.ts";
import { ortDevice } from "../../runtime/node/device-node.ts";
import { peakBytes } from "../../runtime/node/process-memory-node.ts";
import { table } from "../terminal/table.ts";
import { memoryBandwidth } from "./memory-bandwidth.ts";
import { mapWeights, withRandomWeights } from "./random-weights.ts";
import { modelOfShape } from "./shapes.ts";
import { storedAs, weightsName } from "./storages.ts";

const FLOAT32 = Float32Array.BYTES_PER_ELEMENT;
const GB = 1e9;
const KIB = 1024;

export interface BenchGenerateOptions {
  readonly shape: string;
  /** Of the weights. */
  readonly storage: string;
  readonly promptTokens: number;
  /** At least 2: the first one comes with the prompt. */
  readonly newTokens: number;
  /** 0 takes one per core. */
  readonly threads: number;
  readonly layers?: number;
  readonly keep?: true;
  readonly json?: true;
}

export interface BenchGenerateReport {
  readonly shape: string;
  readonly layers: number;
  readonly storage: string;
  readonly prompt_tokens: number;
  readonly new_tokens: number;
  readonly threads: number;
  readonly prefill_tokens_per_s: number;
  readonly decode_tokens_per_s: number;
  /** What a token reads: all weights but those of the embedding's other rows, and the keys and values so far (mean). */
  readonly weight_gb_per_token: number;
  readonly cache_gb_per_token: number;
  readonly read_gb_per_s: number;
  /** The best that a plain sum over a large array reaches with the same threads. */
  readonly memory_gb_per_s: number;
  /** `read_gb_per_s` / `memory_gb_per_s` */
  readonly share_of_memory_bandwidth: number;
  /** As of `bench train`. Without the array that memory is measured with. */
  readonly peak_rss_gb: number;
}

/** @throws ConfigError if there is no such shape */
export async function benchGenerate(options: BenchGenerateOptions, signal: AbortSignal): Promise<BenchGenerateReport> {
  const { shape, layers, promptTokens, newTokens, threads } = options;
  const model = modelOfShape(shape, layers);
  const stored = storedAs(model, options.storage);
  const name = weightsName(shape, model, options.storage);
  return withRandomWeights(model, { name, keep: options.keep === true, stored, signal }, async (path) => {
    const device = await ortDevice({ threads });
    try {
      await mapWeights(device, path);
      const language = new LanguageModel(device, model, storedModel(stored));
      const random = new Random(1, 0);
      const prompt = Array.from({ length: promptTokens }, () => random.integer(model.vocabSize));
      // Compiles, reads pages and maps memory.
      await generate(language, [prompt], [[]], { maxNewTokens: 2, signal });
      const { prefillMs, decodeMs } = await generate(language, [prompt], [[]], { maxNewTokens: newTokens, signal });
      signal.throwIfAborted();
      const peak = await peakBytes();
      await language.dispose();
      const bandwidth = await memoryBandwidth(device);
      const decoded = (1000 * (newTokens - 1)) / decodeMs;
      const weightBytes = readBytes(model, stored);
      const cacheBytes = 2 * model.blocks * model.kvHeads * model.headDim * (promptTokens + newTokens / 2) * FLOAT32;
      const read = decoded * (weightBytes + cacheBytes);
      return {
        shape,
        layers: model.blocks,
        storage: options.storage,
        prompt_tokens: promptTokens,
        new_tokens: newTokens,
        threads,
        prefill_tokens_per_s: rounded((1000 * promptTokens) / prefillMs, 1),
        decode_tokens_per_s: rounded(decoded, 2),
        weight_gb_per_token: rounded(weightBytes / GB, 3),
        cache_gb_per_token: rounded(cacheBytes / GB, 4),
        read_gb_per_s: rounded(read / GB, 2),
        memory_gb_per_s: rounded(bandwidth / GB, 2),
        share_of_memory_bandwidth: rounded(read / bandwidth, 3),
        peak_rss_gb: rounded(peak / KIB / 1e6, 2),
      };
    } finally {
      await device.dispose();
    }
  });
}

/** Measures, and prints what was found. */
export async function runBenchGenerate(options: BenchGenerateOptions, signal: AbortSignal): Promise<void> {
  const report = await benchGenerate(options, signal);
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify(report)}\n`);
    return;
  }
  const percent = Math.round(100 * report.share_of_memory_bandwidth);
  const rows = [
    ["model", `${report.shape}, ${report.layers} layers, ${report.storage}, random weights`],
    ["prompt", `${report.prompt_tokens} tokens, ${report.prefill_tokens_per_s} tokens/s`],
    ["answer", `${report.new_tokens} tokens, ${report.decode_tokens_per_s} tokens/s`],
    [
      "read per token",
      `${report.weight_gb_per_token} GB of weights, ${report.cache_gb_per_token} GB of keys and values`,
    ],
    ["read", `${report.read_gb_per_s} GB/s: ${percent} % of the ${report.memory_gb_per_s} GB/s that memory gives`],
    ["peak memory", `${report.peak_rss_gb} GB, the mapped weights included`],
  ];
  process.stdout.write(`${table(rows, { align: ["left", "left"] })}\n`);
}

/** What one token needs: of the embedding's table one row, unless the head has that table. */
function readBytes({ parameters, layers, tied }: TextModel, stored: StoredParameters): number {
  const shared = new Set(Object.values(tied));
  const looked = new Set(
    layers.flatMap((layer) => (layer.kind === "embedding" && !shared.has(layer.weight) ? [layer.weight] : [])),
  );
  return parameters.reduce((sum, { name, shape }) => {
    const weight = stored.get(name);
    const tensors = weight?.storage.tensors(shape, weight.options) ?? [{ dtype: "float32" as const, shape }];
    const bytes = tensors.reduce((all, tensor) => all + elementBytes(tensor.dtype) * sizeOfShape(tensor.shape), 0);
    return sum + (looked.has(name) ? bytes / shape[0]! : bytes);
  }, 0);
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
