/**
 * RoBERTa (Liu et al. 2019, arXiv 1907.11692): BERT's encoder with one kind of tokens, trained longer. Positions are counted
 * from the number after the padding token's, so that of 514 rows of the table 512 are positions. The class of a text is told
 * by its first token, `<s>`. XLM-RoBERTa (Conneau et al. 2020, arXiv 1911.02116) is the same with another vocabulary.
 */
import { exactGelu } from "./activations.ts";
import type { ConfigSource } from "./config-source.ts";
import {
  classHead,
  encoder,
  ENCODER_TASKS,
  encoderSettings,
  type EncoderSettings,
  maskedHead,
  tensorFlowName,
} from "./encoder.ts";
import type { ModelFamily, Task, TextModel } from "./text-model.ts";

export const roberta: ModelFamily = {
  modelType: "roberta",
  source: "Liu et al. 2019, arXiv 1907.11692",
  className: "Roberta",
  storedName: tensorFlowName,
  defaultTargets: ["query", "value"],
  tasks: ENCODER_TASKS,
  build: (config, task) => build("roberta", config, task),
};

export const xlmRoberta: ModelFamily = {
  ...roberta,
  modelType: "xlm-roberta",
  source: "Conneau et al. 2020, arXiv 1911.02116",
  className: "XLMRoberta",
  build: (config, task) => build("xlm-roberta", config, task),
};

function build(modelType: string, config: ConfigSource, task: Task = { kind: "masked" }): TextModel {
  const settings: EncoderSettings = {
    ...encoderSettings(modelType, "roberta", config),
    paddingToken: config.number("pad_token_id", 1),
  };
  if (config.isNull("pad_token_id")) {
    config.problem("pad_token_id is null: positions are counted from the number after that token's");
  }
  return encoder(settings, (table) =>
    task.kind === "classification"
      ? {
          ...classHead(settings, task, {
            dense: "classifier.dense",
            output: "classifier.out_proj",
            isPooler: false,
          }),
          drawnModules: ["classifier"],
          otherHeads: /^(lm_head|(roberta\.)?pooler)\./,
        }
      : {
          ...maskedHead(
            settings,
            { dense: "lm_head.dense", norm: "lm_head.layer_norm", decoder: "lm_head.decoder", bias: "lm_head.bias" },
            exactGelu,
            table,
          ),
          otherHeads: /^(roberta\.)?pooler\.|^lm_head\.bias$/,
        },
  );
}
