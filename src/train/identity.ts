/** What must be the same in every part of a run, so that its parts give the numbers of one that was never stopped. */
import type { Settings } from "../config/derive.ts";
import type { Trainable } from "../lm/trainable.ts";
import type { Identity } from "./run/training-state.ts";
import type { Json } from "./run/python-json.ts";

/** Settings that change numbers: all but those of logging, evaluation, saving, and of places and speed. */
const KEYS = [
  "finetuningType",
  "perDeviceTrainBatchSize",
  "gradientAccumulationSteps",
  "numTrainEpochs",
  "maxSteps",
  "learningRate",
  "lrSchedulerType",
  "lrSchedulerKwargs",
  "warmupRatio",
  "warmupSteps",
  "optim",
  "weightDecay",
  "adamBeta1",
  "adamBeta2",
  "adamEpsilon",
  "maxGradNorm",
  "seed",
  "dataSeed",
  "shuffle",
  "stage",
  "dataset",
  "template",
  "defaultSystem",
  "enableThinking",
  "cutoffLen",
  "ropeScaling",
  "shiftAttn",
  "overLength",
  "maxSamples",
  "valSize",
  "trainOnPrompt",
  "maskHistory",
  "packing",
  "mixStrategy",
  "interleaveProbs",
  "streaming",
  "bufferSize",
] as const satisfies readonly (keyof Settings)[];

/**
 * By the names of files' keys, which are what a message should say. The base counts where a part of it is not in the
 * checkpoint.
 * @param rows of the data to train on; undefined where they are not counted
 */
export function runIdentity(settings: Settings, trainable: Trainable, rows: number | undefined): Identity {
  const { trained, adapters, language } = trainable;
  const identity: Record<string, Json> = {};
  for (const key of KEYS)
    identity[key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)] = plain(settings[key]);
  if (settings.groupByLength) identity["group_by_length"] = true;
  if (settings.stage === "cls") identity["labels"] = plain(settings.labels);
  // Where states are kept changes no number: a run may go on with another budget.
  if (settings.optim.startsWith("paged_")) identity["optim"] = "adamw_torch";
  if (trained.length < language.model.parameters.length || adapters.length > 0) {
    identity["model_name_or_path"] = settings.modelNameOrPath;
  }
  const storages = [...language.storages.values()].map(
    ({ storage, options }) => `${storage.name}${storage.hasConstants && options.doubleQuantization ? ", double" : ""}`,
  );
  if (storages.length > 0) identity["storage"] = [...new Set(storages)].join("; ");
  for (const { method, config } of adapters) {
    for (const [key, value] of Object.entries(config)) identity[`${method.name} ${key}`] = plain(value);
  }
  identity["rows to train on"] = rows ?? null;
  identity["weights to train"] = trained.map(({ name, shape }) => `${name}[${shape.join(",")}]`);
  return identity;
}

/** As it will be read from JSON. */
function plain(value: unknown): Json {
  return value === undefined ? null : (JSON.parse(JSON.stringify(value)) as Json);
}
