/**
 * Two thin matrices beside a weight, s·B A: what LoRA and the methods made of it share.
 *
 * Some starts take a part of the base's weight for A and B, which then train it (PiSSA, OLoRA). The base stays as it is: that
 * part, s·B₀ A₀, is kept with the adapter and taken off again, y = W x + s·(B A − B₀ A₀) x. Two products of the same shape, so
 * that they cancel to the last bit as long as A and B are what they started as.
 */
import { ConfigError } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { cast } from "../ir/ops/cast.ts";
import { conv } from "../ir/ops/conv.ts";
import { gather } from "../ir/ops/gather.ts";
import { scalar } from "../ir/ops/constant.ts";
import { less } from "../ir/ops/less.ts";
import { matmul } from "../ir/ops/matmul.ts";
import { mul } from "../ir/ops/mul.ts";
import { randomUniform } from "../ir/ops/random-uniform.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { sub } from "../ir/ops/sub.ts";
import { transpose } from "../ir/ops/transpose.ts";
import { zeros } from "../nn/init.ts";
import { multiplyRows } from "../nn/linear.ts";
import type { Layer } from "../nn/module.ts";
import type { LoraConfig } from "./lora.ts";
import type { AdapterCall, MethodParameter } from "./method.ts";
import { startNamed } from "./starts/index.ts";

/** Names of B₀ and A₀, relative to the layer. */
export const INITIAL_A = "initial_A.weight";
export const INITIAL_B = "initial_B.weight";

/** s = alpha / r, or alpha / √r. */
export function scaling({ r, alpha, useRslora }: Pick<LoraConfig, "r" | "alpha" | "useRslora">): number {
  return alpha / (useRslora ? Math.sqrt(r) : r);
}

/** @throws ConfigError if the layer cannot have them */
export function factorParameters(layer: Layer, config: LoraConfig): MethodParameter[] {
  const { r, loraBias } = config;
  const start = startNamed(config.init);
  if (layer.kind === "embedding") {
    if (loraBias) {
      throw new ConfigError({
        where: layer.name,
        what: "lora_bias is not defined on an embedding",
        hint: "leave this layer out of the targets, or the setting out",
      });
    }
    const { A, B } = start.onEmbedding(r);
    return [
      { name: "lora_embedding_A", shape: [r, layer.inFeatures], init: A },
      { name: "lora_embedding_B", shape: [layer.outFeatures, r], init: B },
    ];
  }
  if (layer.kind === "conv2d" && (layer.options.groups ?? 1) !== 1) {
    throw new ConfigError({
      where: layer.name,
      what: "LoRA on a convolution in groups is not defined",
      got: `${layer.options.groups} groups`,
      hint: "leave this layer out of the targets",
    });
  }
  if (layer.kind === "conv2d" && start.factors !== undefined) {
    throw new ConfigError({
      where: layer.name,
      what: `the start "${config.init}" is not defined on a convolution`,
      hint: "leave this layer out of the targets, or choose another start (init_lora_weights)",
    });
  }
  const kernel = layer.kind === "conv2d" ? layer.kernel : [];
  const fanIn = layer.inFeatures * kernel.reduce((a, b) => a * b, 1);
  const unit = kernel.map(() => 1);
  const { A, B } = start.onWeight(r, fanIn);
  const [shapeA, shapeB] = [
    [r, layer.inFeatures, ...kernel],
    [layer.outFeatures, r, ...unit],
  ];
  const kept = { init: zeros, frozen: true, derived: true } as const;
  return [
    { name: "lora_A.weight", shape: shapeA, init: A },
    { name: "lora_B.weight", shape: shapeB, init: B },
    ...(loraBias ? [{ name: "lora_B.bias", shape: [layer.outFeatures], init: B }] : []),
    ...(start.takesFromBase === true
      ? [
          { name: INITIAL_A, shape: shapeA, ...kept },
          { name: INITIAL_B, shape: shapeB, ...kept },
        ]
      : []),
  ];
}

interface Factors {
  readonly A: Value;
  readonly B: Value;
  /** B's. */
  readonly bias: Value | undefined;
  /** What the start took from the base. */
  readonly initial: { readonly A: Value; readonly B: Value } | undefined;
}

export function factorsOf(parameters: Readonly<Record<string, Value>>): Factors {
  const A = parameters["lora_embedding_A"] ?? parameters["lora_A.weight"]!;
  const B = parameters["lora_embedding_B"] ?? parameters["lora_B.weight"]!;
  const [A0, B0] = [parameters[INITIAL_A], parameters[INITIAL_B]];
  return {
    A,
    B,
    bias: parameters["lora_B.bias"],
    initial: A0 === undefined || B0 === undefined ? undefined : { A: A0, B: B0 },
  };
}

/** B A − B₀ A₀, in the shape of the layer's weight. */
export function updateOf(layer: Layer, parameters: Readonly<Record<string, Value>>): Value {
  const { A, B, initial } = factorsOf(parameters);
  const BA = product(layer, B, A);
  return initial === undefined ? BA : sub(BA, product(layer, initial.B, initial.A));
}

function product(layer: Layer, B: Value, A: Value): Value {
  switch (layer.kind) {
    case "linear":
      return layer.fanInFanOut === true ? matmul(A, B, { transA: true, transB: true }) : matmul(B, A);
    case "embedding":
      return matmul(A, B, { transA: true, transB: true });
    case "conv2d": {
      const r = A.type.shape[0]!;
      const flat = matmul(reshape(B, [layer.outFeatures, r]), reshape(A, [r, -1]));
      return reshape(flat, [layer.outFeatures, ...A.type.shape.slice(1)]);
    }
  }
}

/**
 * B A x̃ + b − B₀ A₀ x, where x̃ is x after dropout; times the gate of each row.
 * @param input x̃
 */
export function branchOf(call: AdapterCall<LoraConfig>, input: Value): Value {
  const { layer, gate, x } = call;
  const { A, B, bias, initial } = factorsOf(call.parameters);
  // The gate goes where there is least to multiply: to the r columns between A and B.
  const opened = (y: Value) => (gate === undefined ? y : mul(y, layer.kind === "conv2d" ? pixelGate(gate) : gate));
  const through = (from: Value, b: Value, a: Value) => {
    switch (layer.kind) {
      case "linear":
        return multiplyRows(opened(multiplyRows(from, a)), b);
      case "conv2d":
        return conv(opened(conv(from, a, layer.options)), b);
      case "embedding": {
        const columns = gather(a, reshape(from, [-1]), 1); // [r, rows]
        const rows = multiplyRows(opened(transpose(columns, [1, 0])), b);
        return reshape(rows, [...from.type.shape, layer.outFeatures]);
      }
    }
  };
  const BAx = through(input, B, A);
  const change = initial === undefined ? BAx : sub(BAx, through(x, initial.B, initial.A));
  return bias === undefined ? change : add(change, opened(alongFeatures(layer, bias)));
}

/** A vector [out] that broadcasts along the axis of the layer's outputs. */
export function alongFeatures(layer: Layer, b: Value): Value {
  return layer.kind === "conv2d" ? reshape(b, [1, layer.outFeatures, 1, 1]) : reshape(b, [1, layer.outFeatures]);
}

function pixelGate(gate: Value): Value {
  return reshape(gate, [-1, 1, 1, 1]);
}

export function scaled(x: Value, s: number): Value {
  return s === 1 ? x : mul(x, scalar(x.graph, s));
}

/** x with elements set to 0 with probability p and the rest divided by 1 - p; x itself when not training. */
export function dropped({
  x,
  layer,
  config: { dropout: p },
  random,
}: AdapterCall<{ readonly dropout: number }>): Value {
  // As in PEFT there is no dropout of tokens.
  if (p === 0 || random === undefined || layer.kind === "embedding") return x;
  const u = randomUniform(random.seed, { stream: random.stream, shape: x.type.shape });
  const keep = cast(less(u, scalar(x.graph, 1 - p)), x.type.dtype);
  return mul(x, mul(keep, scalar(x.graph, 1 / (1 - p))));
}
