/**
 * Heads of decoders: the next token from a table that may be the embedding's, or the class of the text from its last token
 * (transformers' `...ForSequenceClassification`: one product, `score`, without a bias).
 */
import type { Value } from "../ir/graph.ts";
import { normal } from "../nn/init.ts";
import { linear } from "../nn/linear.ts";
import type { Layer, Tracing } from "../nn/module.ts";
import { CAUSAL, type Task, type TextModel } from "./text-model.ts";

export interface DecoderHead extends Pick<
  TextModel,
  | "task"
  | "tied"
  | "outputs"
  | "classToken"
  | "newModules"
  | "drawnModules"
  | "otherHeads"
  | "tiedHeads"
  | "parameters"
  | "layers"
> {
  /** [N, D] -> [N, outputs] */
  readonly forward: (tracing: Tracing, rows: Value) => Value;
}

/** What a decoder can be built for. */
export const DECODER_TASKS: readonly Task["kind"][] = ["causal", "classification"];

/** @param table the embedding's layer; @param tied whether a head of tokens shares its table; @param std of the random start */
export function decoderHead(
  { vocabSize, hiddenSize, tied, std }: { vocabSize: number; hiddenSize: number; tied: boolean; std: number },
  table: Layer,
  task: Task = CAUSAL,
): DecoderHead {
  const init = normal(std);
  if (task.kind === "classification") {
    const score = linear("score", hiddenSize, task.classes, { bias: false, isOutput: true, init });
    return {
      task,
      tied: {},
      outputs: task.classes,
      classToken: "last",
      newModules: ["score"],
      drawnModules: ["score"],
      otherHeads: /^lm_head\./,
      ...(tied ? { tiedHeads: { "lm_head.weight": table.weight } } : {}),
      parameters: score.parameters,
      layers: [score.layer],
      forward: (tracing, rows) => score.forward(tracing, rows),
    };
  }
  const head = linear("lm_head", hiddenSize, vocabSize, { bias: false, isOutput: true, init });
  return {
    task,
    tied: tied ? { [head.layer.weight]: table.weight } : {},
    outputs: vocabSize,
    parameters: tied ? [] : head.parameters,
    layers: [head.layer],
    forward: (tracing, rows) => head.forward(tracing, rows),
  };
}
