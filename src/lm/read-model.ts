/** The model that a folder describes, built for a task, without its weights. */
import { ConfigError } from "../errors.ts";
import { type ModelConfigFile, readModelConfig } from "../formats/model/config.ts";
import type { MatchOptions } from "../formats/model/match.ts";
import { storesUntied } from "../formats/model/weights.ts";
import { familyOf } from "../models/index.ts";
import { type RopeStretch, stretchedPositions } from "../models/stretch-positions.ts";
import { CAUSAL, type ModelFamily, type Task, type TextModel } from "../models/text-model.ts";
import { classNames } from "./class-names.ts";

export interface ReadModel {
  readonly model: TextModel;
  readonly config: ModelConfigFile;
  readonly defaultTargets: readonly string[];
  /** Which tensors of the checkpoint are which parameters. */
  readonly match: MatchOptions;
}

export interface ReadModelOptions {
  /** The weights will be drawn, not read. Default: false. */
  readonly random?: boolean;
  /** Positions are stretched, where that is needed. Default: as they are. */
  readonly stretch?: RopeStretch;
  /** What the model is to be built for. Default: to predict the next token. */
  readonly taskOf?: (config: ModelConfigFile) => Task;
}

/** The class of transformers that models load with, by what they are for. */
const LOADERS = {
  causal: "AutoModelForCausalLM",
  masked: "AutoModelForMaskedLM",
  classification: "AutoModelForSequenceClassification",
} as const satisfies Record<Task["kind"], string>;

const PURPOSES = {
  causal: "predicts the next token",
  masked: "predicts masked tokens",
  classification: "classifies texts",
} as const satisfies Record<Task["kind"], string>;

/**
 * @throws ConfigError if the architecture is not supported, or not for the task; FormatError naming everything that is wrong
 *   with config.json
 */
export async function readModel(
  dir: string,
  { random = false, stretch, taskOf = () => CAUSAL }: ReadModelOptions = {},
): Promise<ReadModel> {
  let config = await readModelConfig(dir);
  const { modelType, fields, path } = config;
  const stretched = stretch === undefined ? {} : stretchedPositions(fields, stretch, path);
  if (stretch !== undefined) config = await readModelConfig(dir, stretched);
  if (modelType === "") {
    throw new ConfigError({
      where: config.path,
      what: "model_type is missing",
      hint: "is this the folder of a model?",
    });
  }
  const family = familyOf(modelType);
  const task = taskOf(config);
  checkTask(family, task, path);
  let model = build();
  if (!random && (await storesUntied(model.parameters, dir, matchOf(model, family)))) {
    // Two tables where config.json says one: as transformers does, the head keeps its own.
    config = await readModelConfig(dir, { ...stretched, tie_word_embeddings: false });
    model = build();
  }
  return { model, config, defaultTargets: family.defaultTargets, match: matchOf(model, family) };

  function build(): TextModel {
    const built = family.build(config, task);
    config.check();
    return built;
  }
}

/** What a folder says that its model is for: by `architectures`, or else what its family is mostly for. */
export function storedTask(config: ModelConfigFile): Task {
  const { architectures, modelType } = config;
  if (architectures.some((name) => name.endsWith("ForSequenceClassification"))) {
    return { kind: "classification", classes: classNames(config).length };
  }
  const [kind] = familyOf(modelType).tasks;
  return kind === "masked" ? { kind } : CAUSAL;
}

function checkTask(family: ModelFamily, { kind }: Task, where: string): void {
  if (family.tasks.includes(kind)) return;
  throw new ConfigError({
    where,
    what: `no ${family.modelType} model ${PURPOSES[kind]}`,
    expected: family.tasks.map((known) => PURPOSES[known]).join(", or "),
    hint: `load it with ${family.tasks.map((known) => LOADERS[known]).join(" or ")}`,
  });
}

/** Which tensors of a checkpoint are which parameters. */
export function matchOf(
  { tied, drawnModules, otherHeads, tiedHeads }: TextModel,
  { storedName }: ModelFamily,
): MatchOptions {
  return {
    tied: { ...tied, ...tiedHeads },
    ...(storedName === undefined ? {} : { storedName }),
    ...(drawnModules === undefined ? {} : { drawnModules }),
    ...(otherHeads === undefined ? {} : { otherHeads }),
  };
}
