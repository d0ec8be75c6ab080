/**
 * LoRA: h = W x + s·B(A x), with W frozen, A [r, in], B [out, r] and s = alpha / r.
 *
 * Source: Hu et al. 2021, arXiv 2106.09685, §4.1. How A and B start: adapters/starts; by default A random and B zero, so that
 * training starts from the base. rsLoRA (Kalajdzievski 2023, arXiv 2312.03732): s = alpha / √r. LoRA+ (Hayou et al. 2024,
 * arXiv 2402.12354): B learns faster than A by a ratio; groups as those of PEFT's `create_loraplus_optimizer`.
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
import { add } from "../ir/ops/add.ts";
import { elementCount, sizeOf } from "../ir/shape.ts";
import { type Matrix, transposed } from "../linear-algebra/svd.ts";
import type { Layer, LinearLayer } from "../nn/module.ts";
import type { AdaptableModel } from "./copies.ts";
import {
  alongFeatures,
  branchOf,
  dropped,
  factorParameters,
  factorsOf,
  INITIAL_A,
  INITIAL_B,
  scaled,
  scaling,
  updateOf,
} from "./low-rank.ts";
import type { AdapterCall, Method, MethodFile, RankConfig, Start, StartCall } from "./method.ts";
import { OFF, readInit, readLoftq, UNSUPPORTED, WITHOUT_EFFECT, writeInit } from "./lora-file.ts";
import { configOn } from "./patterns.ts";
import {
  finite,
  flag,
  integer,
  oneOf,
  optional,
  perLayer,
  probability,
  type Setting,
  type Settings,
  shownValue,
  trainingOnly,
} from "./settings.ts";
import { convertStarts } from "./starts/convert.ts";
import { findStart, startNamed, STARTS } from "./starts/index.ts";

export { dropped, scaling } from "./low-rank.ts";

/** How A and B start, by the names in adapters/starts. N is how many steps approximate PiSSA's decomposition. */
export type LoraInit =
  | "kaiming"
  | "gaussian"
  | "standard-normal"
  | "random"
  | "orthogonal"
  | "pissa"
  | `pissa_niter_${number}`
  | "olora"
  | "loftq";

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
  /** Of the start `loftq`. */
  readonly loftqConfig: LoftqConfig;
  /** LoRA+: the learning rate of B, and of vectors, is the run's times this. Default: null, the run's. */
  readonly loraplusLrRatio: number | null;
  /** LoRA+: the learning rate of adapters of embeddings. Default: 1e-6, as in PEFT. */
  readonly loraplusLrEmbedding: number;
  /** Default: `activation`. Where another adapter comes first on a layer, `activation` whatever this says. */
  readonly form: LoraForm;
}

export interface LoftqConfig {
  /** Of the simulated quantisation of a float32 base. Default: 4, NF4. */
  readonly bits: 4 | 8;
  /** T. Default: 1. */
  readonly iterations: number;
}

const INIT: Setting<LoraInit> = {
  wire: "init_lora_weights",
  default: "kaiming",
  about: "how A and B start",
  problems: (name, value) =>
    findStart(value) === undefined
      ? [`${name} is ${shownValue(value)}, not one of ${STARTS.map((start) => start.name).join(", ")}`]
      : [],
  read: readInit,
  write: writeInit,
};

const LOFTQ: Setting<LoftqConfig> = {
  wire: "loftq_config",
  default: { bits: 4, iterations: 1 },
  about: "of the start loftq: bits of the simulated quantisation, and iterations",
  problems(name, value) {
    const { bits, iterations } = (value ?? {}) as Partial<LoftqConfig>;
    return [
      ...(bits === 4 || bits === 8 ? [] : [`${name}: bits is ${shownValue(bits)}, not 4 or 8`]),
      ...(Number.isInteger(iterations) && iterations! >= 1
        ? []
        : [`${name}: iterations is ${shownValue(iterations)}, not an integer >= 1`]),
    ];
  },
  read: readLoftq,
  // As PEFT: nothing, unless it is asked for.
  write: ({ bits, iterations }, config) =>
    config !== undefined && "init" in config && config.init === "loftq"
      ? { loftq_bits: bits, loftq_iter: iterations }
      : {},
};

/** Settings that LoRA shares with methods made of it. */
export const LORA_SETTINGS: Settings<LoraConfig> = {
  r: integer("r", 8, "rank"),
  alpha: finite("lora_alpha", 8, "the update is scaled by alpha / r"),
  dropout: probability("lora_dropout", 0, "probability of dropping an element of A's input while training"),
  useRslora: flag("use_rslora", false, "scale by alpha / √r"),
  loraBias: flag("lora_bias", false, "B has a bias"),
  rankPattern: perLayer("rank_pattern", "ranks of single layers", integer(undefined, 8, "")),
  alphaPattern: perLayer("alpha_pattern", "alphas of single layers", finite(undefined, 8, "")),
  init: INIT,
  loftqConfig: LOFTQ,
  loraplusLrRatio: trainingOnly(
    optional(finite("loraplus_lr_ratio", 16, "LoRA+: the learning rate of B over that of A")),
  ),
  loraplusLrEmbedding: trainingOnly(
    finite("loraplus_lr_embedding", 1e-6, "LoRA+: the learning rate of adapters of embeddings"),
  ),
  form: oneOf(undefined, "activation", "the order of computing", FORMS),
};

/** LoRA's file, and that of methods that PEFT writes as LoRA with a switch. */
export const LORA_FILE = {
  type: "LORA",
  also: () => OFF,
  ignored: WITHOUT_EFFECT,
  refused: UNSUPPORTED,
  // A plain LoRA, whatever the start took from the base.
  pack: convertStarts,
} as const satisfies MethodFile<LoraConfig>;

export const lora: Method<LoraConfig> = {
  name: "lora",
  source: "Hu et al. 2021, arXiv 2106.09685",
  about: "adds a product of two thin matrices to each weight: W + s·B A",
  settings: LORA_SETTINGS,
  file: LORA_FILE,
  gated: true,

  check: checkLora,
  parameters: factorParameters,
  replacesWeight: replacesByStart,
  start: startLora,
  rate: rateOf,

  forward(call) {
    const { config, layer, x, parameters } = call;
    const s = scaling(config);
    if (chooseForm(call) === "weight") {
      const { bias } = factorsOf(parameters);
      const y = call.apply(x, add(call.weight(), scaled(updateOf(layer, parameters), s)));
      return bias === undefined ? y : add(y, scaled(alongFeatures(layer, bias), s));
    }
    return add(call.previous(), scaled(branchOf(call, dropped(call)), s));
  },

  merged({ layer, config, parameters, weight }) {
    return add(weight, scaled(updateOf(layer, parameters), scaling(config)));
  },

  mergedBias({ layer, config, parameters, bias }) {
    const { bias: b } = factorsOf(parameters);
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
    // What the start took from the base is not in the file.
    if (INITIAL_A in parameters || INITIAL_B in parameters) return false;
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

/** What is wrong with settings that LoRA shares with methods made of it, in words. */
export function checkLora(config: LoraConfig): string[] {
  const wrong: string[] = [];
  const { dropout, form, loraBias, init } = config;
  const start = startNamed(init);
  if (dropout > 0 && form === "weight") {
    wrong.push(`form is "weight" with dropout ${dropout}: it has no input of A to drop elements of`);
  }
  if (loraBias && typeof start.wire !== "boolean") {
    wrong.push(`loraBias is true with the ${init} start: PEFT would refuse the file`);
  }
  if (config.loraplusLrRatio !== null && !(config.loraplusLrRatio > 0)) {
    wrong.push(`loraplusLrRatio is ${config.loraplusLrRatio}, not above 0`);
  }
  if (config.loraplusLrEmbedding < 0) wrong.push(`loraplusLrEmbedding is ${config.loraplusLrEmbedding}, not >= 0`);
  wrong.push(...(start.check?.(config) ?? []));
  // Patterns that are none are found now, and not at the first layer.
  configOn(config, "");
  return wrong;
}

/** Whether the start brings a frozen weight in the place of the layer's. */
export function replacesByStart(layer: Layer, config: LoraConfig, model: AdaptableModel): boolean {
  if (layer.kind !== "linear") return false;
  const isStored = model.isStored?.(model.tied?.[layer.weight] ?? layer.weight) ?? false;
  return startNamed(config.init).replacesWeight?.(config, isStored) ?? false;
}

/** A and B where they are made of the base's weight, or together. */
export async function startLora(call: StartCall<LoraConfig>): Promise<Start> {
  const { layer, config } = call;
  const start = startNamed(config.init);
  if (layer.kind !== "linear" || start.factors === undefined) return { values: {} };
  const { stored } = call;
  const made = await start.factors({
    layer,
    config,
    scaling: scaling(config),
    weight: async () => asMatrix(layer, await call.weight()),
    async original() {
      if (call.original !== undefined) return asMatrix(layer, await call.original());
      throw new ConfigError({
        where: layer.name,
        what: `the start "${config.init}" needs the weight as it was before it was quantised`,
        hint: "start from a checkpoint that is not quantised, and let the run quantise it",
      });
    },
    ...(stored === undefined ? {} : { stored: (weight) => asMatrix(layer, stored(asStored(layer, weight))) }),
    random: (parameter) => call.random(parameter),
  });
  const { A, B, weight } = made;
  return {
    values: { "lora_A.weight": A, "lora_B.weight": B, [INITIAL_A]: A, [INITIAL_B]: B },
    ...(weight === undefined ? {} : { weight: asStored(layer, weight) }),
  };
}

/** Values of a layer's weight as W [out, in]. */
export function asMatrix({ inFeatures, outFeatures, fanInFanOut }: LinearLayer, data: Float32Array): Matrix {
  if (fanInFanOut !== true) return { rows: outFeatures, columns: inFeatures, data };
  return { rows: outFeatures, columns: inFeatures, data: transposed({ rows: inFeatures, columns: outFeatures, data }) };
}

function asStored({ fanInFanOut }: LinearLayer, weight: Matrix): Float32Array {
  return Float32Array.from(fanInFanOut === true ? transposed(weight) : weight.data);
}

/** LoRA+: parameters of embeddings, then B and vectors; those that are left have the run's. */
export function rateOf(
  { name, shape }: { readonly name: string; readonly shape: readonly number[] },
  { loraplusLrRatio: ratio, loraplusLrEmbedding }: LoraConfig,
): { readonly times: number } | { readonly fixed: number } | undefined {
  if (ratio === null) return undefined;
  if (name.startsWith("lora_embedding_")) return { fixed: loraplusLrEmbedding };
  return name.startsWith("lora_B") || shape.length === 1 ? { times: ratio } : undefined;
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
