/**
 * GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"): pre-norm blocks of multi-head
 * attention, its q, k and v in one product, and of an MLP, c_proj(gelu(c_fc(x))); positions from a table; LayerNorm; a head
 * that shares the embedding's table. Weights are stored [in, out].
 *
 * The model's own dropout (`attn_pdrop`, `embd_pdrop`, `resid_pdrop`) is not applied.
 */
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { slice } from "../ir/ops/slice.ts";
import { transpose } from "../ir/ops/transpose.ts";
import { embedding } from "../nn/embedding.ts";
import { normal } from "../nn/init.ts";
import { linear, type Linear } from "../nn/linear.ts";
import type { ParameterSpec, Tracing } from "../nn/module.ts";
import { layerNorm } from "../nn/norm.ts";
import { type Activation, activationOf } from "./activations.ts";
import { DECODER_TASKS, decoderHead } from "./head.ts";
import type { ModelFamily, Sequence, Task, TextModel } from "./text-model.ts";
import type { ConfigSource } from "./config-source.ts";

/** Variants that change what is computed, and the value that leaves it as it is. */
const VARIANTS: Readonly<Record<string, boolean>> = {
  scale_attn_weights: true,
  scale_attn_by_inverse_layer_idx: false,
  reorder_and_upcast_attn: false,
  add_cross_attention: false,
};

export const gpt2: ModelFamily = {
  modelType: "gpt2",
  source: "Radford et al. 2019, Language Models are Unsupervised Multitask Learners",
  className: "GPT2",
  // The first checkpoints were saved without the head, and so without the name of what is below it.
  storedName: (name) => name.replace(/^transformer\./, ""),
  defaultTargets: ["c_attn"],
  tasks: DECODER_TASKS,
  build: (config, task) => decoder(readSettings(config), task),
};

interface Gpt2Config {
  readonly vocabSize: number;
  /** D */
  readonly hiddenSize: number;
  /** F */
  readonly intermediateSize: number;
  readonly blocks: number;
  readonly heads: number;
  readonly maxPositions: number;
  readonly normEpsilon: number;
  readonly activation: Activation;
  readonly tied: boolean;
  readonly initializerRange: number;
}

interface Block {
  readonly parameters: readonly ParameterSpec[];
  readonly linears: readonly Linear[];
  forward(tracing: Tracing, x: Value, sequence: Sequence): Value;
}

function readSettings(config: ConfigSource): Gpt2Config {
  const hiddenSize = config.number("n_embd");
  const heads = config.number("n_head");
  if (hiddenSize % heads !== 0) config.problem(`n_embd is ${hiddenSize}, not a multiple of n_head, ${heads}`);
  for (const [key, usual] of Object.entries(VARIANTS)) {
    if (config.boolean(key, usual) !== usual) config.problem(`${key} is ${!usual}: only ${usual} is supported`);
  }
  return {
    vocabSize: config.number("vocab_size"),
    hiddenSize,
    intermediateSize: config.number("n_inner", 4 * hiddenSize),
    blocks: config.number("n_layer"),
    heads,
    maxPositions: config.number("n_positions", 1024),
    normEpsilon: config.number("layer_norm_epsilon", 1e-5),
    activation: activationOf(config, "activation_function", "gelu_new"),
    tied: config.boolean("tie_word_embeddings", true),
    initializerRange: config.number("initializer_range", 0.02),
  };
}

function decoder(config: Gpt2Config, task: Task | undefined): TextModel {
  const { vocabSize, hiddenSize, maxPositions, normEpsilon, tied, initializerRange: std } = config;
  const tokens = embedding("transformer.wte", vocabSize, hiddenSize, std);
  const positions = embedding("transformer.wpe", maxPositions, hiddenSize, std);
  const blocks = Array.from({ length: config.blocks }, (_, i) => decoderBlock(config, i));
  const norm = layerNorm("transformer.ln_f", hiddenSize, normEpsilon);
  const { forward: head, ...ofHead } = decoderHead({ vocabSize, hiddenSize, tied, std }, tokens.layer, task);
  return {
    ...ofHead,
    modelType: "gpt2",
    parameters: [
      ...tokens.parameters,
      ...positions.parameters,
      ...blocks.flatMap((block) => block.parameters),
      ...norm.parameters,
      ...ofHead.parameters,
    ],
    layers: [
      tokens.layer,
      positions.layer,
      ...blocks.flatMap((block) => block.linears.map(({ layer }) => layer)),
      ...ofHead.layers,
    ],
    vocabSize,
    hiddenSize,
    maxPositions,
    blocks: config.blocks,
    heads: config.heads,
    kvHeads: config.heads,
    headDim: hiddenSize / config.heads,
    hidden(tracing, sequence, onBlock) {
      const embedded = tokens.forward(tracing, sequence.tokens); // [B, T, D]
      let x = add(sequence.embedded?.(embedded) ?? embedded, positions.forward(tracing, sequence.positions!));
      blocks.forEach((block, i) => {
        const input = x;
        x = sequence.block(() => block.forward(tracing, input, sequence));
        onBlock?.(i, x);
      });
      return norm.forward(tracing, x);
    },
    head,
  };
}

function decoderBlock(config: Gpt2Config, index: number): Block {
  const { hiddenSize, intermediateSize, blocks, heads, normEpsilon, activation, initializerRange: std } = config;
  const at = (name: string) => `transformer.h.${index}.${name}`;
  const dense = (name: string, inputs: number, outputs: number, deviation = std) =>
    linear(at(name), inputs, outputs, { fanInFanOut: true, init: normal(deviation) });
  // What is added to the residual stream starts smaller the more is added (Radford et al. 2019, §2.3).
  const residual = std / Math.sqrt(2 * blocks);
  const qkv = dense("attn.c_attn", hiddenSize, 3 * hiddenSize);
  const output = dense("attn.c_proj", hiddenSize, hiddenSize, residual);
  const up = dense("mlp.c_fc", hiddenSize, intermediateSize);
  const down = dense("mlp.c_proj", intermediateSize, hiddenSize, residual);
  const beforeAttention = layerNorm(at("ln_1"), hiddenSize, normEpsilon);
  const beforeMlp = layerNorm(at("ln_2"), hiddenSize, normEpsilon);
  const linears = [qkv, output, up, down];

  const attention = (tracing: Tracing, x: Value, sequence: Sequence): Value => {
    const [B, T] = x.type.shape;
    const projected = qkv.forward(tracing, x); // [B, T, 3D]
    const part = (i: number) => {
      const one = slice(projected, 2, i * hiddenSize, (i + 1) * hiddenSize);
      return transpose(reshape(one, [B!, T!, heads, hiddenSize / heads]), [0, 2, 1, 3]); // [B, H, T, Dh]
    };
    const y = sequence.attend({ block: index, q: part(0), k: part(1), v: part(2) }); // [B, H, T, Dh]
    return output.forward(tracing, reshape(transpose(y, [0, 2, 1, 3]), [B!, T!, hiddenSize]));
  };

  return {
    parameters: [
      ...linears.flatMap(({ parameters }) => parameters),
      ...beforeAttention.parameters,
      ...beforeMlp.parameters,
    ],
    linears,
    forward(tracing, x, sequence) {
      const h = add(x, attention(tracing, beforeAttention.forward(tracing, x), sequence));
      return add(h, down.forward(tracing, activation(up.forward(tracing, beforeMlp.forward(tracing, h)))));
    },
  };
}
