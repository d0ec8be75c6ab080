/**
 * The decoder that the Llama family shares: pre-norm blocks of grouped-query attention with rotated queries and keys, and
 * of a gated MLP, down(silu(gate(x)) ∘ up(x)); a final norm; a head, which may share the embedding's table.
 *
 * Source: Touvron et al. 2023, arXiv 2302.13971, §2.2. Parameters are named as in transformers.
 */
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { swiglu } from "../ir/ops/swiglu.ts";
import { transpose } from "../ir/ops/transpose.ts";
import { embedding } from "../nn/embedding.ts";
import { normal } from "../nn/init.ts";
import { linear, type Linear } from "../nn/linear.ts";
import type { ParameterSpec, Tracing } from "../nn/module.ts";
import { type Norm, rmsNorm } from "../nn/norm.ts";
import { type Rope, rotate } from "../nn/rope.ts";
import { decoderHead } from "./head.ts";
import type { Sequence, Task, TextModel } from "./text-model.ts";

export interface DecoderConfig {
  readonly modelType: string;
  readonly vocabSize: number;
  /** D */
  readonly hiddenSize: number;
  /** F */
  readonly intermediateSize: number;
  readonly blocks: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly normEpsilon: number;
  readonly rope: Omit<Rope, "headDim">;
  readonly maxPositions: number;
  /** The head has the embedding's table. */
  readonly tied: boolean;
  /** Biases on q, k and v. */
  readonly qkvBias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  /** Norms on every head of q and of k, before the rotation. */
  readonly qkNorm: boolean;
  /** Sliding window of a block. */
  readonly window: (block: number) => number | undefined;
  /** Standard deviation of the random start. */
  readonly initializerRange: number;
}

interface Block {
  readonly parameters: readonly ParameterSpec[];
  readonly linears: readonly Linear[];
  forward(tracing: Tracing, x: Value, sequence: Sequence): Value;
}

export function decoder(config: DecoderConfig, task?: Task): TextModel {
  const { vocabSize, hiddenSize, initializerRange: std } = config;
  const embed = embedding("model.embed_tokens", vocabSize, hiddenSize, std);
  const blocks = Array.from({ length: config.blocks }, (_, i) => decoderBlock(config, i));
  const norm = rmsNorm("model.norm", hiddenSize, config.normEpsilon);
  const { forward: head, ...ofHead } = decoderHead(
    { vocabSize, hiddenSize, tied: config.tied, std },
    embed.layer,
    task,
  );
  return {
    ...ofHead,
    modelType: config.modelType,
    parameters: [
      ...embed.parameters,
      ...blocks.flatMap((block) => block.parameters),
      ...norm.parameters,
      ...ofHead.parameters,
    ],
    layers: [embed.layer, ...blocks.flatMap((block) => block.linears.map(({ layer }) => layer)), ...ofHead.layers],
    vocabSize,
    hiddenSize,
    maxPositions: config.maxPositions,
    blocks: config.blocks,
    heads: config.heads,
    kvHeads: config.kvHeads,
    headDim: config.headDim,
    rope: { ...config.rope, headDim: config.headDim },
    hidden(tracing, sequence, onBlock) {
      const tokens = embed.forward(tracing, sequence.tokens); // [B, T, D]
      let x = sequence.embedded?.(tokens) ?? tokens;
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

function decoderBlock(config: DecoderConfig, index: number): Block {
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim, normEpsilon } = config;
  const at = (name: string) => `model.layers.${index}.${name}`;
  const init = normal(config.initializerRange);
  const dense = (name: string, inputs: number, outputs: number, bias: boolean) =>
    linear(at(name), inputs, outputs, { bias, init });
  const q = dense("self_attn.q_proj", hiddenSize, heads * headDim, config.qkvBias);
  const k = dense("self_attn.k_proj", hiddenSize, kvHeads * headDim, config.qkvBias);
  const v = dense("self_attn.v_proj", hiddenSize, kvHeads * headDim, config.qkvBias);
  const o = dense("self_attn.o_proj", heads * headDim, hiddenSize, config.outputBias);
  const gate = dense("mlp.gate_proj", hiddenSize, intermediateSize, config.mlpBias);
  const up = dense("mlp.up_proj", hiddenSize, intermediateSize, config.mlpBias);
  const down = dense("mlp.down_proj", intermediateSize, hiddenSize, config.mlpBias);
  const beforeAttention = rmsNorm(at("input_layernorm"), hiddenSize, normEpsilon);
  const beforeMlp = rmsNorm(at("post_attention_layernorm"), hiddenSize, normEpsilon);
  const headNorms: { q: Norm; k: Norm } | undefined = config.qkNorm
    ? {
        q: rmsNorm(at("self_attn.q_norm"), headDim, normEpsilon),
        k: rmsNorm(at("self_attn.k_norm"), headDim, normEpsilon),
      }
    : undefined;
  const window = config.window(index);
  const linears = [q, k, v, o, gate, up, down];

  const attention = (tracing: Tracing, x: Value, sequence: Sequence): Value => {
    const rotation = sequence.rotation!;
    const split = (y: Value, count: number, headNorm?: Norm) => {
      const perHead = reshape(y, [...y.type.shape.slice(0, 2), count, headDim]); // [B, T, H, Dh]
      return transpose(headNorm === undefined ? perHead : headNorm.forward(tracing, perHead), [0, 2, 1, 3]);
    };
    const y = sequence.attend({
      block: index,
      q: rotate(split(q.forward(tracing, x), heads, headNorms?.q), rotation),
      k: rotate(split(k.forward(tracing, x), kvHeads, headNorms?.k), rotation),
      v: split(v.forward(tracing, x), kvHeads),
      ...(window === undefined ? {} : { window }),
    }); // [B, H, T, Dh]
    return o.forward(tracing, reshape(transpose(y, [0, 2, 1, 3]), [...x.type.shape.slice(0, 2), heads * headDim]));
  };
  const mlp = (tracing: Tracing, x: Value): Value => {
    const [g, u] = [gate.forward(tracing, x), up.forward(tracing, x)];
    return tracing.graph.cheap(() => down.forward(tracing, swiglu(g, u)));
  };

  return {
    parameters: [
      ...linears.flatMap(({ parameters }) => parameters),
      ...(headNorms === undefined ? [] : [...headNorms.q.parameters, ...headNorms.k.parameters]),
      ...beforeAttention.parameters,
      ...beforeMlp.parameters,
    ],
    linears,
    forward(tracing, x, sequence) {
      const h = add(x, attention(tracing, beforeAttention.forward(tracing, x), sequence));
      return add(h, mlp(tracing, beforeMlp.forward(tracing, h)));
    },
  };
}
