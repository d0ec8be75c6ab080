/**
 * The encoder of BERT (Devlin et al. 2019, arXiv 1810.04805, §3): embeddings of tokens, positions and kinds of tokens, added
 * and normalised; then blocks of attention that sees the tokens on both sides, and of an MLP, each with its LayerNorm after
 * the residual sum. BERT and RoBERTa differ in how positions are counted and in their heads.
 *
 * The model's own dropout (`hidden_dropout_prob`, `attention_probs_dropout_prob`, `classifier_dropout`) is not applied.
 */
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { scalar } from "../ir/ops/constant.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { tanh } from "../ir/ops/tanh.ts";
import { transpose } from "../ir/ops/transpose.ts";
import { embedding } from "../nn/embedding.ts";
import { normal, zeros } from "../nn/init.ts";
import { linear, type Linear } from "../nn/linear.ts";
import type { Layer, ParameterSpec, Tracing } from "../nn/module.ts";
import { layerNorm } from "../nn/norm.ts";
import { type Activation, activationOf } from "./activations.ts";
import type { ConfigSource } from "./config-source.ts";
import type { Sequence, Task, TextModel } from "./text-model.ts";

/** What an encoder can be built for. */
export const ENCODER_TASKS: readonly Task["kind"][] = ["masked", "classification"];

export interface EncoderSettings {
  readonly modelType: string;
  /** In front of the names of its parameters, such as `bert`. */
  readonly prefix: string;
  readonly vocabSize: number;
  /** D */
  readonly hiddenSize: number;
  /** F */
  readonly intermediateSize: number;
  readonly blocks: number;
  readonly heads: number;
  /** Rows of the table of positions. */
  readonly positionRows: number;
  readonly tokenTypes: number;
  readonly normEpsilon: number;
  readonly activation: Activation;
  /** Whether the head of tokens shares the embedding's table. */
  readonly tied: boolean;
  /** Of the random start. */
  readonly std: number;
  /** Positions are counted without this token, from the row after it: see {@link TextModel.paddingToken}. */
  readonly paddingToken?: number;
}

export interface EncoderHead extends Pick<
  TextModel,
  "task" | "tied" | "outputs" | "classToken" | "newModules" | "drawnModules" | "otherHeads" | "parameters" | "layers"
> {
  /** [N, D] -> [N, outputs] */
  readonly forward: (tracing: Tracing, rows: Value) => Value;
}

/** Settings that BERT and its relatives have in common. What is not built is a problem of the configuration. */
export function encoderSettings(modelType: string, prefix: string, config: ConfigSource): EncoderSettings {
  const hiddenSize = config.number("hidden_size", 768);
  const heads = config.number("num_attention_heads", 12);
  if (hiddenSize % heads !== 0) {
    config.problem(`hidden_size is ${hiddenSize}, not a multiple of num_attention_heads, ${heads}`);
  }
  const positions = config.string("position_embedding_type", "absolute");
  if (positions !== "absolute") {
    config.problem(`position_embedding_type is "${positions}": only "absolute" is supported`);
  }
  for (const key of ["is_decoder", "add_cross_attention"]) {
    if (config.boolean(key, false)) config.problem(`${key} is true: only encoders are supported`);
  }
  return {
    modelType,
    prefix,
    vocabSize: config.number("vocab_size"),
    hiddenSize,
    intermediateSize: config.number("intermediate_size", 3072),
    blocks: config.number("num_hidden_layers", 12),
    heads,
    positionRows: config.number("max_position_embeddings", 512),
    tokenTypes: config.number("type_vocab_size", 2),
    normEpsilon: config.number("layer_norm_eps", 1e-12),
    activation: activationOf(config, "hidden_act", "gelu"),
    tied: config.boolean("tie_word_embeddings", true),
    std: config.number("initializer_range", 0.02),
  };
}

/** LayerNorms as the first checkpoints call their parameters, after TensorFlow. */
export function tensorFlowName(name: string): string {
  return name.replace(/LayerNorm\.weight$/, "LayerNorm.gamma").replace(/LayerNorm\.bias$/, "LayerNorm.beta");
}

/** @param headOf makes the head, given the layer whose table it may share */
export function encoder(settings: EncoderSettings, headOf: (table: Layer) => EncoderHead): TextModel {
  const { modelType, prefix, vocabSize, hiddenSize, heads, tokenTypes, std, paddingToken } = settings;
  const at = (name: string) => `${prefix}.embeddings.${name}`;
  const tokens = embedding(at("word_embeddings"), vocabSize, hiddenSize, std);
  const positions = embedding(at("position_embeddings"), settings.positionRows, hiddenSize, std);
  const types = embedding(at("token_type_embeddings"), tokenTypes, hiddenSize, std);
  const norm = layerNorm(at("LayerNorm"), hiddenSize, settings.normEpsilon);
  const blocks = Array.from({ length: settings.blocks }, (_, i) => encoderBlock(settings, i));
  const { forward: head, ...ofHead } = headOf(tokens.layer);
  const firstRow = paddingToken === undefined ? 0 : paddingToken + 1;
  return {
    ...ofHead,
    modelType,
    parameters: [
      ...[tokens, positions, types, norm].flatMap(({ parameters }) => parameters),
      ...blocks.flatMap(({ parameters }) => parameters),
      ...ofHead.parameters,
    ],
    layers: [
      ...[tokens, positions, types].map(({ layer }) => layer),
      ...blocks.flatMap(({ linears }) => linears.map(({ layer }) => layer)),
      ...ofHead.layers,
    ],
    vocabSize,
    tokenTypes,
    hiddenSize,
    maxPositions: settings.positionRows - firstRow,
    ...(paddingToken === undefined ? {} : { paddingToken }),
    blocks: settings.blocks,
    heads,
    kvHeads: heads,
    headDim: hiddenSize / heads,
    hidden(tracing, sequence, onBlock) {
      const { graph } = tracing;
      const embedded = tokens.forward(tracing, sequence.tokens); // [B, T, D]
      const rows = firstRow === 0 ? sequence.positions! : add(sequence.positions!, scalar(graph, firstRow, "int32"));
      const ofType = types.forward(tracing, sequence.types!);
      const sum = add(add(sequence.embedded?.(embedded) ?? embedded, ofType), positions.forward(tracing, rows));
      let x = norm.forward(tracing, sum);
      blocks.forEach((block, i) => {
        const input = x;
        x = sequence.block(() => block.forward(tracing, input, sequence));
        onBlock?.(i, x);
      });
      return x;
    },
    head,
  };
}

interface Block {
  readonly parameters: readonly ParameterSpec[];
  readonly linears: readonly Linear[];
  forward(tracing: Tracing, x: Value, sequence: Sequence): Value;
}

function encoderBlock(settings: EncoderSettings, index: number): Block {
  const { prefix, hiddenSize, intermediateSize, heads, normEpsilon, activation, std } = settings;
  const at = (name: string) => `${prefix}.encoder.layer.${index}.${name}`;
  const dense = (name: string, inputs: number, outputs: number) =>
    linear(at(name), inputs, outputs, { init: normal(std) });
  const query = dense("attention.self.query", hiddenSize, hiddenSize);
  const key = dense("attention.self.key", hiddenSize, hiddenSize);
  const value = dense("attention.self.value", hiddenSize, hiddenSize);
  const output = dense("attention.output.dense", hiddenSize, hiddenSize);
  const up = dense("intermediate.dense", hiddenSize, intermediateSize);
  const down = dense("output.dense", intermediateSize, hiddenSize);
  const afterAttention = layerNorm(at("attention.output.LayerNorm"), hiddenSize, normEpsilon);
  const afterMlp = layerNorm(at("output.LayerNorm"), hiddenSize, normEpsilon);
  const linears = [query, key, value, output, up, down];

  const attention = (tracing: Tracing, x: Value, sequence: Sequence): Value => {
    const [B, T] = x.type.shape;
    const split = (part: Linear) =>
      transpose(reshape(part.forward(tracing, x), [B!, T!, heads, hiddenSize / heads]), [0, 2, 1, 3]); // [B, H, T, Dh]
    const y = sequence.attend({ block: index, q: split(query), k: split(key), v: split(value), bidirectional: true });
    return output.forward(tracing, reshape(transpose(y, [0, 2, 1, 3]), [B!, T!, hiddenSize]));
  };

  return {
    parameters: [...linears, afterAttention, afterMlp].flatMap(({ parameters }) => parameters),
    linears,
    forward(tracing, x, sequence) {
      const h = afterAttention.forward(tracing, add(x, attention(tracing, x, sequence)));
      const y = down.forward(tracing, activation(up.forward(tracing, h)));
      return afterMlp.forward(tracing, add(h, y));
    },
  };
}

/** Where the parts of a head of classes are in a checkpoint. */
export interface ClassHeadNames {
  readonly dense: string;
  readonly output: string;
  /** The dense layer comes with the body, and is tuned as its layers are; false: it is as new as the head. */
  readonly isPooler: boolean;
}

/** Logits of the class of a text, which its first token tells: output(tanh(dense(h))). */
export function classHead(
  { hiddenSize, std }: EncoderSettings,
  task: Task & { kind: "classification" },
  names: ClassHeadNames,
): EncoderHead {
  const init = normal(std);
  const dense = linear(names.dense, hiddenSize, hiddenSize, { isOutput: !names.isPooler, init });
  const output = linear(names.output, hiddenSize, task.classes, { isOutput: true, init });
  return {
    task,
    tied: {},
    outputs: task.classes,
    classToken: "first",
    newModules: ["classifier"],
    parameters: [...dense.parameters, ...output.parameters],
    layers: [dense.layer, output.layer],
    forward: (tracing, rows) => output.forward(tracing, tanh(dense.forward(tracing, rows))),
  };
}

/** Where the parts of a head of tokens are in a checkpoint. */
export interface MaskedHeadNames {
  readonly dense: string;
  readonly norm: string;
  /** Its weight may share the embedding's table, and its bias is then stored as `bias`. */
  readonly decoder: string;
  readonly bias: string;
}

/** Logits of the token that is masked at a place: decoder(LayerNorm(activation(dense(h)))). */
export function maskedHead(
  { vocabSize, hiddenSize, normEpsilon, tied, std }: EncoderSettings,
  names: MaskedHeadNames,
  activation: Activation,
  table: Layer,
): EncoderHead {
  const init = normal(std);
  const dense = linear(names.dense, hiddenSize, hiddenSize, { init });
  const norm = layerNorm(names.norm, hiddenSize, normEpsilon);
  const decoder = linear(names.decoder, hiddenSize, vocabSize, { isOutput: true, init });
  const bias: ParameterSpec = { name: names.bias, shape: [vocabSize], init: zeros };
  const { weight, bias: decoderBias } = decoder.layer as { weight: string; bias?: string };
  return {
    task: { kind: "masked" },
    tied: tied ? { [weight]: table.weight, [decoderBias!]: bias.name } : {},
    outputs: vocabSize,
    parameters: [...dense.parameters, ...norm.parameters, ...(tied ? [bias] : decoder.parameters)],
    layers: [dense.layer, decoder.layer],
    forward: (tracing, rows) =>
      decoder.forward(tracing, norm.forward(tracing, activation(dense.forward(tracing, rows)))),
  };
}
