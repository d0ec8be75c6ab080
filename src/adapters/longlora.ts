/**
 * LongLoRA: LoRA for rows that are longer than the model was made for. While training, tokens attend within groups
 * (models/shifted-attention.ts), and norms and embeddings are trained whole: without them LoRA falls behind full training on
 * long rows, whatever its rank. Everything else, generation included, is with full attention. Source: Chen et al. 2023,
 * arXiv 2309.12307, §3.2 and §3.3, where "LoRA+" is the name for norms and embeddings, not the method of Hayou et al.
 *
 * The adapter is a plain LoRA with `modules_to_save`, and is read as such. Positions beyond the model's own need
 * `rope_scaling`.
 */
import { shiftedSequence } from "../models/shifted-attention.ts";
import { biasName, type AdaptableModel } from "./copies.ts";
import { lora, LORA_FILE, LORA_SETTINGS, type LoraConfig } from "./lora.ts";
import type { Method } from "./method.ts";
import { flag, type Setting, type Settings, shownValue, trainingOnly } from "./settings.ts";

export interface LongLoraConfig extends LoraConfig {
  /** Part of a row that is a group, 1 / 2, 1 / 3, …; 1 is full attention for half of the heads. Default: 1 / 4. */
  readonly groupSizeRatio: number;
  /** Norms and embeddings are trained too. Default: true. */
  readonly trainNormsAndEmbeddings: boolean;
}

// oxlint-disable-next-line typescript/unbound-method -- it is left out
const { complete: _complete, follow: _follow, ...plain } = lora;

export const longlora: Method<LongLoraConfig> = {
  ...plain,
  name: "longlora",
  source: "Chen et al. 2023, arXiv 2309.12307",
  about: "LoRA on long rows: attention in shifted groups while training; norms and embeddings are trained too",
  settings: {
    ...LORA_SETTINGS,
    groupSizeRatio: trainingOnly(ratioSetting()),
    trainNormsAndEmbeddings: trainingOnly(flag("train_norms_and_embeddings", true, "they are trained whole")),
  } satisfies Settings<LongLoraConfig>,
  file: { ...LORA_FILE, as: lora.name },

  modulesToSave: (model, { trainNormsAndEmbeddings }) => (trainNormsAndEmbeddings ? normsAndEmbeddings(model) : []),

  sequence: ({ sequence, tracing, config }) =>
    tracing.training ? shiftedSequence(sequence, groupsOf(config.groupSizeRatio)) : sequence,
};

/** Number of groups of a row. */
export function groupsOf(ratio: number): number {
  return Math.round(1 / ratio);
}

/** Last parts of the names of tables and of modules with vectors only. */
export function normsAndEmbeddings({ layers, parameters }: AdaptableModel): string[] {
  const ofLayers = new Set(layers.flatMap((layer) => [layer.weight, biasName(layer)]));
  const moduleOf = (parameter: string) => parameter.slice(0, parameter.lastIndexOf("."));
  const modules = [
    ...layers.flatMap(({ kind, name }) => (kind === "embedding" ? [name] : [])),
    ...parameters.flatMap(({ name, shape }) => (shape.length === 1 && !ofLayers.has(name) ? [moduleOf(name)] : [])),
  ];
  return [...new Set(modules.map((name) => name.slice(name.lastIndexOf(".") + 1)))].sort();
}

function ratioSetting(): Setting<number> {
  const is = (value: unknown) =>
    typeof value === "number" && value > 0 && value <= 1 && Math.abs(value * Math.round(1 / value) - 1) < 1e-3;
  return {
    wire: "group_size_ratio",
    default: 1 / 4,
    about: "part of a row that is a group of tokens that attend to each other",
    problems: (name, value) => (is(value) ? [] : [`${name} is ${shownValue(value)}, not 1 divided by a whole number`]),
  };
}
