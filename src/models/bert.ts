/**
 * BERT (Devlin et al. 2019, arXiv 1810.04805): an encoder that knows two kinds of tokens, those of the first and of the second
 * text. The class of a text is told by its first token, `[CLS]`, through a pooler that the body comes with.
 */
import { tanh } from "../ir/ops/tanh.ts";
import { normal } from "../nn/init.ts";
import { linear } from "../nn/linear.ts";
import {
  encoder,
  ENCODER_TASKS,
  type EncoderHead,
  encoderSettings,
  type EncoderSettings,
  maskedHead,
  tensorFlowName,
} from "./encoder.ts";
import type { ModelFamily, Task } from "./text-model.ts";

export const bert: ModelFamily = {
  modelType: "bert",
  source: "Devlin et al. 2019, arXiv 1810.04805",
  className: "Bert",
  storedName: tensorFlowName,
  defaultTargets: ["query", "value"],
  tasks: ENCODER_TASKS,
  build(config, task = { kind: "masked" }) {
    const settings = encoderSettings("bert", "bert", config);
    return encoder(settings, (table) =>
      task.kind === "classification"
        ? classHead(settings, task)
        : {
            ...maskedHead(
              settings,
              {
                dense: "cls.predictions.transform.dense",
                norm: "cls.predictions.transform.LayerNorm",
                decoder: "cls.predictions.decoder",
                bias: "cls.predictions.bias",
              },
              settings.activation,
              table,
            ),
            otherHeads: /^((bert\.)?pooler|cls\.seq_relationship)\.|^cls\.predictions\.bias$/,
          },
    );
  },
};

/** classifier(tanh(pooler(h))) of the first token. */
function classHead({ hiddenSize, std }: EncoderSettings, task: Task & { kind: "classification" }): EncoderHead {
  const init = normal(std);
  const pooler = linear("bert.pooler.dense", hiddenSize, hiddenSize, { init });
  const classifier = linear("classifier", hiddenSize, task.classes, { isOutput: true, init });
  return {
    task,
    tied: {},
    outputs: task.classes,
    classToken: "first",
    newModules: ["classifier"],
    drawnModules: ["bert.pooler", "classifier"],
    otherHeads: /^cls\./,
    parameters: [...pooler.parameters, ...classifier.parameters],
    layers: [pooler.layer, classifier.layer],
    forward: (tracing, rows) => classifier.forward(tracing, tanh(pooler.forward(tracing, rows))),
  };
}
