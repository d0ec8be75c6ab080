/** `analysis_steps` of a configuration: the callback that looks at the weights, with the texts that it needs. */
import { analysisCallback } from "../../analysis/callback.ts";
import type { RunConfig } from "../../config/read.ts";
import { type OpenedDatasets, openDatasets } from "../../data/datasets/open.ts";
import type { Tokenizer } from "../../data/text/tokenizer.ts";
import { DataError } from "../../errors.ts";
import { baseWeights } from "../../lm/base-weights.ts";
import type { PretrainedModel } from "../../lm/pretrained-model.ts";
import type { Trainable } from "../../lm/trainable.ts";
import type { TrainerCallback } from "../../train/run/events.ts";

export interface AnalysisParts {
  readonly model: PretrainedModel;
  readonly trainable: Trainable;
  readonly tokenizer: Tokenizer;
  /** Shows a warning. */
  readonly warn: (text: string) => void;
}

/**
 * None, or one.
 * @throws DataError if a data set of `analysis_texts` is not found, or has no plain texts
 */
export async function configuredAnalysis(
  config: RunConfig,
  { model, trainable, tokenizer, warn }: AnalysisParts,
): Promise<TrainerCallback[]> {
  if (config.analysisSteps === null) return [];
  const base = baseWeights(model);
  const texts = config.analysisTexts === null ? undefined : await sampleTexts(config, config.analysisTexts);
  const callback = analysisCallback(
    { trainable: () => trainable },
    {
      tokenizer,
      batchSize: config.perDeviceEvalBatchSize,
      onWarning: warn,
      ...(texts === undefined ? {} : { texts }),
      // What is trained from scratch has no weights in a file.
      ...(config.trainFromScratch ? {} : { original: async (parameter) => base.original!(parameter) }),
    },
  );
  return [callback];
}

async function sampleTexts(
  { datasetDir, analysisSamples }: RunConfig,
  dataset: readonly string[],
): Promise<readonly string[]> {
  const { train } = await openTexts(datasetDir, dataset);
  const texts: string[] = [];
  for await (const row of train) {
    if (row.kind === "text") texts.push(row.text);
    if (texts.length >= analysisSamples) break;
  }
  if (texts.length > 0) return texts;
  throw new DataError({ where: "analysis_texts", what: "has no plain texts", got: dataset.join(", ") });
}

async function openTexts(datasetDir: string, dataset: readonly string[]): Promise<OpenedDatasets> {
  try {
    return await openDatasets({ dataset, datasetDir, stage: "pt" });
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    // What helps a data set to train on would not help here.
    const hint = 'they are plain texts: lines of {"text": …}, or a .txt file';
    const where = `analysis_texts: ${error.problem.where ?? dataset.join(", ")}`;
    throw new DataError({ ...error.problem, where, hint, cause: error });
  }
}
