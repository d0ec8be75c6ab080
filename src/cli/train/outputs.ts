/** The files of a finished run, besides its log: what was trained, how, and with which results. */
import { takesLoraKeys } from "../../config/methods.ts";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import type { RunConfig } from "../../config/read.ts";
import { stepsOf } from "../../config/schedule.ts";
import { writeRunConfig } from "../../config/write.ts";
import { LABELS_FILE } from "../../data/datasets/classes.ts";
import type { ChatTemplate } from "../../data/text/templates.ts";
import type { Tokenizer } from "../../data/text/tokenizer.ts";
import { type EvalRow, metricsOf, type LogRow } from "../../train/run/log-rows.ts";
import { hyperparameters, writeModelCard } from "../../train/run/model-card.ts";
import { writeLossPlots } from "../../train/run/plots.ts";
import { replaceFile } from "../../train/run/durable-file.ts";
import { writeResults } from "../../train/run/results.ts";

const TEMPLATE_FILE = "chat_template.jinja";

/** Puts the tokenizer's files, and the template that was trained with, into a folder. */
export async function saveTokenizer(
  dir: string,
  tokenizer: Tokenizer,
  template: ChatTemplate | undefined,
): Promise<void> {
  for (const name of tokenizer.files) await copyFile(join(tokenizer.dir, name), join(dir, name));
  if (template?.origin === "named") await replaceFile(join(dir, TEMPLATE_FILE), template.source);
}

/** The names of the classes that an adapter tells, in their order. */
export async function saveLabels(dir: string, names: readonly string[]): Promise<void> {
  await replaceFile(join(dir, LABELS_FILE), `${JSON.stringify(names, null, 2)}\n`);
}

export interface RunSummary {
  readonly config: RunConfig;
  readonly history: readonly LogRow[];
  /** Of the weights that are saved, if they were evaluated. */
  readonly evaluation?: EvalRow;
  readonly totalSteps: number;
  readonly versions: Readonly<Record<string, string>>;
}

/** @returns paths of the pictures */
export async function writeOutputs(summary: RunSummary): Promise<string[]> {
  const { config, history, evaluation, versions } = summary;
  const { outputDir } = config;
  const final = history.findLast((row) => row["train_loss"] !== undefined);
  if (final !== undefined) await writeResults(outputDir, "train", metricsOf(final));
  if (evaluation !== undefined) await writeResults(outputDir, "eval", metricsOf(evaluation));
  await writeRunConfig(join(outputDir, "training_args.yaml"), config);
  await writeModelCard(outputDir, {
    name: outputDir.split(/[\\/]/).findLast((part) => part !== "") ?? outputDir,
    ...(config.trainFromScratch ? {} : { baseModel: config.modelNameOrPath }),
    finetuningType: config.finetuningType,
    ...(config.stage === "cls" && config.labels !== null ? { labels: config.labels } : {}),
    datasets: config.dataset ?? [],
    hyperparameters: hyperparameters(cardSettings(summary)),
    logHistory: history,
    versions,
    ...(evaluation === undefined ? {} : { evaluation }),
  });
  return writeLossPlots(outputDir, history);
}

function cardSettings({ config, totalSteps }: RunSummary): Parameters<typeof hyperparameters>[0] {
  const { adamBeta1, adamBeta2, adamEpsilon, warmupSteps, warmupRatio } = config;
  const adapter = { lora_rank: config.loraRank, lora_alpha: config.loraAlpha, lora_dropout: config.loraDropout };
  return {
    learningRate: config.learningRate,
    trainBatchSize: config.perDeviceTrainBatchSize,
    evalBatchSize: config.perDeviceEvalBatchSize,
    seed: config.seed,
    gradientAccumulationSteps: config.gradientAccumulationSteps,
    optimizer:
      config.optim === "sgd"
        ? "sgd"
        : `${config.optim} with betas=(${adamBeta1},${adamBeta2}) and epsilon=${adamEpsilon}`,
    lrSchedulerType: config.lrSchedulerType,
    warmupSteps: warmupSteps > 0 ? stepsOf(warmupSteps, totalSteps) : Math.ceil(warmupRatio * totalSteps),
    numTrainEpochs: config.numTrainEpochs,
    ...(config.maxSteps > 0 ? { maxSteps: config.maxSteps } : {}),
    ...(takesLoraKeys(config.finetuningType) ? { adapter } : {}),
  };
}
