/**
 * RoBERTa (Liu et al. 2019, arXiv 1907.11692): BERT's encoder with one kind of tokens, trained longer. Positions are counted
 * from the number after the padding token's, so that of 514 rows of the table 512 are positions. The class of a text is told
 * by its first token, `<s>`. XLM-RoBERTa (Conneau et al. 2020, arXiv 1911.02116) is the same with another vocabulary.
 */
import { tanh } from "../ir/ops/tanh.ts";
import { normal } from "../nn/init.ts";
import { linear } from "../nn/linear.ts";
import { exactGelu } from "./activations.ts";
import type { ConfigSource } from "./config-source.ts";
import {
  encoder,
  ENCODER_TASKS,
  type EncoderHead,
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
      ? classHead(settings, task)
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

/** out_proj(tanh(dense(h))) of the first token. */
function classHead({ hiddenSize, std }: EncoderSettings, task: Task & { kind: "classification" }): EncoderHead {
  const init = normal(std);
  const dense = linear("classifier.dense", hiddenSize, hiddenSize, { isOutput: true, init });
  const output = linear("classifier.out_proj", hiddenSize, task.classes, { isOutput: true, init });
  return {
    task,
    tied: {},
    outputs: task.classes,
    classToken: "first",
    newModules: ["classifier"],
    drawnModules: ["classifier"],
    otherHeads: /^(lm_head|(roberta\.)?pooler)\./,
    parameters: [...dense.parameters, ...output.parameters],
    layers: [dense.layer, output.layer],
    forward: (tracing, rows) => output.forward(tracing, tanh(dense.forward(tracing, rows))),
  };
}
