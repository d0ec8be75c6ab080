/** Facts about a model: what it is, its layers by the names that `lora_target` takes, its tokenizer. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Adapter } from "../../adapters/adapter.ts";
import { trainsAdapter } from "../../config/methods.ts";
import { loadTokenizer } from "../../data/text/index.ts";
import { DataError } from "../../errors.ts";
import { openCheckpoint } from "../../formats/safetensors/index.ts";
import { modelFiles } from "../../lm/file-identity.ts";
import { adaptable, attachPeft } from "../../lm/peft-config.ts";
import { readModel, storedTask } from "../../lm/read-model.ts";
import { checkContext, usableContext } from "../../lm/usable-context.ts";
import { trainableText } from "../../lm/trainable.ts";
import type { Task, TextModel } from "../../models/text-model.ts";
import { countElements, type Layer, type ParameterSpec } from "../../nn/module.ts";
import { unfrozen, type FreezeSettings } from "../../train/freeze.ts";
import { peftConfigOf } from "../../train/peft-config.ts";
import { memoryPlan, type MemoryPlan } from "./memory-plan.ts";

export interface LayerGroup {
  /** What `lora_target` and `target_modules` take: the last part of the layers' names. */
  readonly target: string;
  readonly kind: Layer["kind"];
  readonly count: number;
  readonly in_features: number;
  readonly out_features: number;
  readonly bias: boolean;
  readonly parameters: number;
  /** Whether `all` (`all-linear`) adapts them. */
  readonly in_all_linear: boolean;
  /** Whether PEFT adapts them where no target is named. */
  readonly is_default: boolean;
}

export interface ModelFacts {
  readonly kind: "model";
  readonly path: string;
  readonly model_type: string;
  readonly architectures: readonly string[];
  readonly parameters: number;
  readonly blocks: number;
  readonly hidden_size: number;
  readonly vocab_size: number;
  readonly kv_heads: number;
  readonly head_dim: number;
  readonly max_positions: number;
  readonly tied_head: boolean;
  /** What the head is for. */
  readonly task: Task["kind"];
  /** Number of classes, and the token that tells them; null for other heads. */
  readonly classes: { readonly count: number; readonly token: "first" | "last" } | null;
  /** As `config.json` says. */
  readonly dtype: string | null;
  /** Of the files; null where only the configuration is here. */
  readonly bytes_on_disk: number | null;
  /** Bytes by type of the stored tensors. */
  readonly stored_types: Readonly<Record<string, number>> | null;
  readonly files: number | null;
  readonly layers: readonly LayerGroup[];
  readonly tokenizer: TokenizerFacts | null;
  readonly chat_template: boolean;
  readonly training?: TrainingFacts;
}

export interface TokenizerFacts {
  readonly tokens: number;
  readonly backend: string;
  readonly bos: string | null;
  readonly eos: string | null;
  readonly pad: string;
  readonly stop: readonly string[];
}

export interface TrainingFacts {
  readonly finetuning_type: string;
  readonly batch: number;
  readonly cutoff_len: number;
  readonly supervised: number;
  readonly gradient_checkpointing: boolean;
  readonly lora?: { readonly r: number; readonly alpha: number; readonly target_modules: string | readonly string[] };
  /** Of adapters that take places of every example. */
  readonly virtual_tokens?: number;
  readonly usable_context?: number;
  readonly trainable: number;
  readonly all: number;
  /** In PEFT's words. */
  readonly text: string;
  readonly memory: MemoryPlan;
}

export interface TrainingSettings {
  readonly finetuningType: string;
  /** Of other methods than lora, PEFT's settings. */
  readonly peftConfig: Readonly<Record<string, unknown>> | null;
  readonly rank: number;
  readonly alpha: number;
  readonly useRslora: boolean;
  /** `all`, names, or a pattern. */
  readonly target: string | readonly string[];
  readonly modulesToSave: readonly string[];
  readonly freeze?: FreezeSettings;
  readonly batch: number;
  /** Default: 2048, or the model's positions if they are fewer. */
  readonly cutoffLength?: number;
  readonly supervised: number;
  readonly checkpoint: boolean;
  /** Bytes of the optimizer's states that stay in memory. Default: all of them. */
  readonly optimizerBudget?: number;
}

/** Tokens of a row where nothing is said, as in LLaMA-Factory. */
const DEFAULT_LENGTH = 2048;

/**
 * @param hasWeights whether there are files with weights; without, what they would tell is null
 * @throws ConfigError if the architecture is not supported or a target matches no layer; FormatError for broken files
 */
export async function modelFacts(
  path: string,
  dir: string,
  hasWeights: boolean,
  training?: TrainingSettings,
): Promise<ModelFacts> {
  const { model, config, defaultTargets } = await readModel(dir, { random: !hasWeights, taskOf: storedTask });
  const tokenizer = await tokenizerOf(dir);
  const stored = hasWeights ? await storedWeights(dir) : undefined;
  return {
    kind: "model",
    path,
    model_type: model.modelType,
    architectures: config.architectures,
    parameters: countElements(model.parameters),
    blocks: model.blocks,
    hidden_size: model.hiddenSize,
    vocab_size: model.vocabSize,
    kv_heads: model.kvHeads,
    head_dim: model.headDim,
    max_positions: model.maxPositions,
    tied_head: Object.keys(model.tied).length > 0,
    task: model.task.kind,
    classes: model.classToken === undefined ? null : { count: model.outputs, token: model.classToken },
    dtype: config.dtype ?? null,
    bytes_on_disk: stored?.bytes ?? (await indexBytes(dir)),
    stored_types: stored?.types ?? null,
    files: stored?.files ?? null,
    layers: layerGroups(model, defaultTargets),
    tokenizer: tokenizer?.facts ?? null,
    chat_template: tokenizer?.hasTemplate ?? false,
    ...(training === undefined ? {} : { training: trainingFacts(model, defaultTargets, training) }),
  };
}

/** Layers of the same name and shape, in the order of the model. */
export function layerGroups(model: TextModel, defaultTargets: readonly string[]): LayerGroup[] {
  const biases = new Set(model.parameters.map(({ name }) => name));
  const groups = new Map<string, LayerGroup>();
  for (const layer of model.layers) {
    const target = layer.name.split(".").at(-1)!;
    const bias = biases.has(layer.kind === "linear" ? (layer.bias ?? `${layer.name}.bias`) : `${layer.name}.bias`);
    const key = [target, layer.kind, layer.inFeatures, layer.outFeatures, bias].join();
    const own = layer.inFeatures * layer.outFeatures + (bias ? layer.outFeatures : 0);
    const before = groups.get(key);
    groups.set(key, {
      target,
      kind: layer.kind,
      count: (before?.count ?? 0) + 1,
      in_features: layer.inFeatures,
      out_features: layer.outFeatures,
      bias,
      parameters: (before?.parameters ?? 0) + own,
      in_all_linear: layer.kind === "linear" && layer.isOutput !== true,
      is_default: defaultTargets.includes(target),
    });
  }
  return [...groups.values()];
}

function trainingFacts(model: TextModel, defaultTargets: readonly string[], settings: TrainingSettings): TrainingFacts {
  const { finetuningType, rank: r, alpha, useRslora, target, modulesToSave, freeze, batch } = settings;
  const { supervised, checkpoint } = settings;
  let adapters: Adapter[] = [];
  let trained: readonly ParameterSpec[] = model.parameters;
  if (trainsAdapter(finetuningType)) {
    const asked = peftConfigOf({
      finetuningType,
      loraRank: r,
      loraAlpha: alpha,
      loraDropout: 0,
      loraTarget: target === "all" ? "all" : [target].flat(),
      useRslora,
      additionalTarget: modulesToSave.length === 0 ? null : modulesToSave,
      peftConfig: settings.peftConfig,
    });
    const adapter = attachPeft(adaptable(model, defaultTargets), "default", asked);
    adapters = [adapter];
    trained = adapter.parameters;
  } else if (finetuningType === "freeze" && freeze !== undefined) {
    const names = unfrozen(model, freeze);
    trained = model.parameters.filter(({ name }) => names.has(name));
  }
  const context = usableContext(model, adapters);
  const { cutoffLength = Math.min(DEFAULT_LENGTH, context?.usable_context ?? model.maxPositions) } = settings;
  checkContext(model, adapters, "cutoff_len", cutoffLength);
  const added = adapters.flatMap(({ parameters }) => parameters);
  const counts = { trainable: countElements(trained), all: countElements(model.parameters) + countElements(added) };
  return {
    finetuning_type: finetuningType,
    batch,
    cutoff_len: cutoffLength,
    supervised,
    gradient_checkpointing: checkpoint,
    ...(finetuningType === "lora" ? { lora: { r, alpha, target_modules: adapters[0]!.targetModules } } : {}),
    ...context,
    ...counts,
    text: trainableText(counts),
    memory: memoryPlan(model, {
      trained,
      adapters,
      batch,
      length: cutoffLength,
      supervised,
      checkpoint,
      ...(settings.optimizerBudget === undefined ? {} : { optimizerBudget: settings.optimizerBudget }),
    }),
  };
}

async function storedWeights(dir: string): Promise<{ bytes: number; types: Record<string, number>; files: number }> {
  const checkpoint = await openCheckpoint(dir);
  await checkpoint.close();
  const types: Record<string, number> = {};
  for (const { dtype, byteLength } of checkpoint.tensors.values()) types[dtype] = (types[dtype] ?? 0) + byteLength;
  const [, ...weights] = await modelFiles(dir);
  return { bytes: weights.reduce((sum, { bytes }) => sum + bytes, 0), types, files: weights.length };
}

/** What the index of a sharded model says of its size. */
async function indexBytes(dir: string): Promise<number | null> {
  const text = await readFile(join(dir, "model.safetensors.index.json"), "utf8").catch(() => "{}");
  const { metadata } = JSON.parse(text) as { metadata?: { total_size?: unknown } };
  return typeof metadata?.total_size === "number" ? metadata.total_size : null;
}

async function tokenizerOf(dir: string): Promise<{ facts: TokenizerFacts; hasTemplate: boolean } | undefined> {
  try {
    const tokenizer = await loadTokenizer(dir);
    const { vocabSize, backend, bosToken, eosToken, padToken, stopIds, chatTemplate } = tokenizer;
    return {
      facts: {
        tokens: vocabSize,
        backend,
        bos: bosToken ?? null,
        eos: eosToken ?? null,
        pad: padToken,
        stop: stopIds.map((id) => tokenizer.tokenOf(id) ?? String(id)),
      },
      hasTemplate: chatTemplate !== undefined,
    };
  } catch (error) {
    if (error instanceof DataError) return undefined;
    throw error;
  }
}
