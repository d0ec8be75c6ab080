/**
 * BERT (Devlin et al. 2019, arXiv 1810.04805): an encoder that knows two kinds of tokens, those of the first and of the second
 * text. The class of a text is told by its first token, `[CLS]`, through a pooler that the body comes with.
 */
import { classHead, encoder, ENCODER_TASKS, encoderSettings, maskedHead, tensorFlowName } from "./encoder.ts";
import type { ModelFamily } from "./text-model.ts";

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
        ? {
            ...classHead(settings, task, { dense: "bert.pooler.dense", output: "classifier", isPooler: true }),
            drawnModules: ["bert.pooler", "classifier"],
            otherHeads: /^cls\./,
          }
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
