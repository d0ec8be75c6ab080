/**
 * LoRA: h = W x + s·B(A x), with W frozen, A [r, in], B [out, r] and s = alpha / r.
 *
 * Source: Hu et al. 2021, arXiv 2106.09685, §4.1; A starts random and B at zero, so that training starts from the base.
 * Its "random Gaussian" is PEFT's `gaussian`; the default is Kaiming-uniform, as in the authors' code and in PEFT.
 * rsLoRA (Kalajdzievski 2023, arXiv 2312.03732): s = alpha / √r.
 *
 * Two forms compute the same: *activation* W x + s·B(A x), and *weight* (W + s·B A) x. The first never makes a matrix of
 * W's size; the second takes fewer operations when there are more rows than in·out / (in + out) (RunLoRA, arXiv
 * 2312.03415, Table 1: fwd1 against fwd2). The order of the products in the gradients is chosen by cost in
 * ir/passes/reassociate.ts.
 *
 * On a convolution, A is a convolution to r channels with the layer's own kernel and stride, B a 1×1 one, as in PEFT. On an
 * embedding, A is a table with one column [r] for each token and B [width, r]; A starts at zero and B random, and there is
 * no dropout, as in PEFT. Layers that store W as [in, out] have the same A and B; their update is merged transposed.
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
import { transpose } from "../ir/ops/transpose.ts";
import { elementCount, sizeOf } from "../ir/shape.ts";
import { type Init, kaimingUniform, normal, uniform, zeros } from "../nn/init.ts";
import { multiplyRows } from "../nn/linear.ts";
import type { Layer, ParameterSpec } from "../nn/module.ts";
import type { AdapterCall, Method, MethodFile, RankConfig } from "./method.ts";
import { OFF, readInit, UNSUPPORTED, WITHOUT_EFFECT } from "./lora-file.ts";
import { configOn } from "./patterns.ts";
import { finite, flag, integer, oneOf, perLayer, probability, type Settings } from "./settings.ts";

/**
 * How A starts: `kaiming` U(-1/√in, 1/√in), PEFT's default; `gaussian` N(0, 1/r²), as PEFT's; `standard-normal` N(0, 1),
 * as in the CIFAR-10 demonstration. B starts at zero. `random`: A as `kaiming`, B U(-1/√r, 1/√r), so that nothing is zero:
 * PEFT's `init_lora_weights: false`, for tests.
 */
export type LoraInit = (typeof INITS)[number];

const INITS = ["kaiming", "gaussian", "standard-normal", "random"] as const;

/** `auto` takes the form with the fewest operations for the typical number of rows. */
export type LoraForm = (typeof FORMS)[number];

const FORMS = ["activation", "weight", "auto"] as const;

export interface LoraConfig extends RankConfig {
  /** Rank. Default: 8. */
  readonly r: number;
  /** Default: 8, as in PEFT. */
  readonly alpha: number;
  /** Probability of dropping an element of A's input while training, in [0, 1). Default: 0. Activation form only. */
  readonly dropout: number;
  /** Scale by alpha / √r instead of alpha / r. Default: false. */
  readonly useRslora: boolean;
  /** B has a bias: y = W x + s·(B(A x) + b). Not on embeddings, nor with the gaussian start, as in PEFT. Default: false. */
  readonly loraBias: boolean;
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly alphaPattern: Readonly<Record<string, number>>;
  /** Default: `kaiming`. */
  readonly init: LoraInit;
  /** Default: `activation`. Where another adapter comes first on a layer, `activation` whatever this says. */
  readonly form: LoraForm;
}

/** Settings that LoRA shares with methods made of it. */
export const LORA_SETTINGS: Settings<LoraConfig> = {
  r: integer("r", 8, "rank"),
  alpha: finite("lora_alpha", 8, "the update is scaled by alpha / r"),
  dropout: probability("lora_dropout", 0, "probability of dropping an element of A's input while training"),
  useRslora: flag("use_rslora", false, "scale by alpha / √r"),
  loraBias: flag("lora_bias", false, "B has a bias"),
  rankPattern: perLayer("rank_pattern", "ranks of single layers", integer(undefined, 8, "")),
  alphaPattern: perLayer("alpha_pattern", "alphas of single layers", finite(undefined, 8, "")),
  init: {
    ...oneOf(undefined, "kaiming", "how A and B start", INITS),
    wire: "init_lora_weights",
    read: readInit,
    write: (init) => (init === "gaussian" ? init : init !== "random"),
  },
  form: oneOf(undefined, "activation", "the order of computing", FORMS),
};

/** LoRA's file, and that of methods that PEFT writes as LoRA with a switch. */
export const LORA_FILE = {
  type: "LORA",
  also: () => OFF,
  ignored: WITHOUT_EFFECT,
  refused: UNSUPPORTED,
} as const satisfies MethodFile<LoraConfig>;

export const lora: Method<LoraConfig> = {
  name: "lora",
  source: "Hu et al. 2021, arXiv 2106.09685",
  about: "adds a product of two thin matrices to each weight: W + s·B A",
  settings: LORA_SETTINGS,
  file: LORA_FILE,
  gated: true,

  check(config) {
    const wrong: string[] = [];
    const { dropout, form, loraBias, init } = config;
    if (dropout > 0 && form === "weight") {
      wrong.push(`form is "weight" with dropout ${dropout}: it has no input of A to drop elements of`);
    }
    if (loraBias && init === "gaussian")
      wrong.push("loraBias is true with the gaussian start: PEFT would refuse the file");
    // Patterns that are none are found now, and not at the first layer.
    configOn(config, "");
    return wrong;
  },

  parameters(layer, { r, init, loraBias }) {
    if (layer.kind === "embedding") return embeddingParameters(layer, r, init, loraBias);
    const kernel = layer.kind === "conv2d" ? layer.kernel : [];
    if (layer.kind === "conv2d" && (layer.options.groups ?? 1) !== 1) {
      throw new ConfigError({
        where: layer.name,
        what: "LoRA on a convolution in groups is not defined",
        got: `${layer.options.groups} groups`,
        hint: "leave this layer out of the targets",
      });
    }
    const fanIn = layer.inFeatures * kernel.reduce((a, b) => a * b, 1);
    const unit = kernel.map(() => 1);
    const initialB = init === "random" ? uniform(1 / Math.sqrt(r)) : zeros;
    return [
      { name: "lora_A.weight", shape: [r, layer.inFeatures, ...kernel], init: initialA(init, r, fanIn) },
      { name: "lora_B.weight", shape: [layer.outFeatures, r, ...unit], init: initialB },
      ...(loraBias ? [{ name: "lora_B.bias", shape: [layer.outFeatures], init: initialB }] : []),
    ];
  },

  forward(call) {
    const { config, layer, x, parameters, gate } = call;
    const [A, B, b] = matrices(parameters);
    const s = scaling(config);
    if (chooseForm(call) === "weight") {
      const y = call.apply(x, add(call.weight(), scaled(product(layer, B, A), s)));
      return b === undefined ? y : add(y, scaled(alongFeatures(layer, b), s));
    }
    // The gate goes where there is least to multiply: to the r columns between A and B.
    const opened = (y: Value) => (gate === undefined ? y : mul(y, layer.kind === "conv2d" ? pixelGate(gate) : gate));
    const BAx = (() => {
      switch (layer.kind) {
        case "linear":
          return multiplyRows(opened(multiplyRows(dropped(call), A)), B);
        case "conv2d":
          return conv(opened(conv(dropped(call), A, layer.options)), B);
        case "embedding": {
          const columns = gather(A, reshape(x, [-1]), 1); // [r, rows]
          const rows = multiplyRows(opened(transpose(columns, [1, 0])), B);
          return reshape(rows, [...x.type.shape, layer.outFeatures]);
        }
      }
    })();
    const update = b === undefined ? BAx : add(BAx, opened(alongFeatures(layer, b)));
    return add(call.previous(), scaled(update, s));
  },

  merged({ layer, config, parameters, weight }) {
    const [A, B] = matrices(parameters);
    return add(weight, scaled(product(layer, B, A), scaling(config)));
  },

  mergedBias({ layer, config, parameters, bias }) {
    const [, , b] = matrices(parameters);
    if (b === undefined) return undefined;
    if (bias === undefined) {
      throw new ConfigError({
        where: layer.name,
        what: "has no bias that the one of lora_bias could be merged into",
        hint: "keep the adapter unmerged",
      });
    }
    return add(bias, scaled(b, scaling(config)));
  },

  isIdle(parameters) {
    const isZero = (name: string) => {
      const values = parameters[name];
      return values !== undefined && Array.prototype.every.call(values, (value) => value === 0);
    };
    if ("lora_embedding_A" in parameters) return isZero("lora_embedding_A") || isZero("lora_embedding_B");
    const hasNoBias = !("lora_B.bias" in parameters) || isZero("lora_B.bias");
    return hasNoBias && (isZero("lora_A.weight") || isZero("lora_B.weight"));
  },
};

/** Number of trained elements on linear layers: Σ r (in + out) (Hu et al. 2021, §5.1). */
export function loraElements(
  layers: readonly { readonly inFeatures: number; readonly outFeatures: number }[],
  r: number,
): number {
  return layers.reduce((sum, { inFeatures, outFeatures }) => sum + r * (inFeatures + outFeatures), 0);
}

/** s = alpha / r, or alpha / √r. */
export function scaling({ r, alpha, useRslora }: Pick<LoraConfig, "r" | "alpha" | "useRslora">): number {
  return alpha / (useRslora ? Math.sqrt(r) : r);
}

function embeddingParameters(layer: Layer, r: number, init: LoraInit, loraBias: boolean): ParameterSpec[] {
  if (loraBias) {
    throw new ConfigError({
      where: layer.name,
      what: "lora_bias is not defined on an embedding",
      hint: "leave this layer out of the targets, or the setting out",
    });
  }
  return [
    { name: "lora_embedding_A", shape: [r, layer.inFeatures], init: init === "random" ? normal(1) : zeros },
    { name: "lora_embedding_B", shape: [layer.outFeatures, r], init: normal(1) },
  ];
}

function initialA(init: LoraInit, r: number, fanIn: number): Init {
  switch (init) {
    case "kaiming":
    case "random":
      return kaimingUniform(fanIn);
    case "gaussian":
      return normal(1 / r);
    case "standard-normal":
      return normal(1);
  }
}

/** A, B and B's bias if there is one. */
function matrices(parameters: Readonly<Record<string, Value>>): [Value, Value, Value | undefined] {
  const embedded = parameters["lora_embedding_A"];
  if (embedded !== undefined) return [embedded, parameters["lora_embedding_B"]!, undefined];
  return [parameters["lora_A.weight"]!, parameters["lora_B.weight"]!, parameters["lora_B.bias"]];
}

/** B A, in the shape of the layer's weight. */
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

/** A vector [out] that broadcasts along the axis of the layer's outputs. */
function alongFeatures(layer: Layer, b: Value): Value {
  return layer.kind === "conv2d" ? reshape(b, [1, layer.outFeatures, 1, 1]) : reshape(b, [1, layer.outFeatures]);
}

function pixelGate(gate: Value): Value {
  return reshape(gate, [-1, 1, 1, 1]);
}

function scaled(x: Value, s: number): Value {
  return s === 1 ? x : mul(x, scalar(x.graph, s));
}

/** x with elements set to 0 with probability p and the rest divided by 1 - p; x itself when not training. */
export function dropped({
  x,
  config: { dropout: p },
  random,
}: Pick<AdapterCall<{ readonly dropout: number }>, "x" | "config" | "random">): Value {
  if (p === 0 || random === undefined) return x;
  const u = randomUniform(random.seed, { stream: random.stream, shape: x.type.shape });
  const keep = cast(less(u, scalar(x.graph, 1 - p)), x.type.dtype);
  return mul(x, mul(keep, scalar(x.graph, 1 / (1 - p))));
}

function chooseForm({
  config,
  layer,
  x,
  tracing,
  random,
  first,
  gate,
}: AdapterCall<LoraConfig>): "activation" | "weight" {
  // The weight form starts from the base's weight, and would lose what other adapters have added to the output. It has
  // one weight for all rows. For an embedding it would make a table.
  if (!first || gate !== undefined || layer.kind === "embedding") return "activation";
  if (config.form !== "auto") return config.form;
  if (layer.kind !== "linear" || (config.dropout > 0 && random !== undefined)) return "activation";
  const rows = elementCount(x.type.shape.slice(0, -1));
  let b: number;
  try {
    b = sizeOf(rows, tracing.typicalSizes);
  } catch {
    return "activation";
  }
  return cheaperForm(b, layer.inFeatures, layer.outFeatures);
}

/** fwd1 takes 2bio + 2br(i + o) operations, fwd2 takes 2bio + 2iro: whatever r, the second is less iff b > io / (i + o). */
export function cheaperForm(b: number, i: number, o: number): "activation" | "weight" {
  return b * (i + o) > i * o ? "weight" : "activation";
}
