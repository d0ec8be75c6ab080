/**
 * (IA)³: activations are multiplied by a vector. What attention reads: y = l ⊙ (W x + b), l [out]; what a feed-forward
 * layer reads: y = W (l ⊙ x) + b, l [in].
 *
 * Source: Liu et al. 2022, arXiv 2205.05638, §3.3. l starts at one, so that training starts from the base. As in PEFT,
 * `feedforward_modules` says which of the targets multiply their input.
 */
import { ConfigError, listed } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { expand } from "../ir/ops/expand.ts";
import { mul } from "../ir/ops/mul.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { sub } from "../ir/ops/sub.ts";
import { shapeOf } from "../ir/shape.ts";
import { normal, ones } from "../nn/init.ts";
import type { Layer } from "../nn/module.ts";
import type { AdapterCall, Method } from "./method.ts";
import { pythonPattern } from "./python-pattern.ts";
import { flag, nameList, optional } from "./settings.ts";

export interface Ia3Config {
  /**
   * Targets that multiply their input: endings of their names, which need not begin after a dot, or a pattern for whole
   * names. Default: those of the model's type, as in PEFT.
   */
  readonly feedforwardModules: string | readonly string[] | null;
  /** Start at one; otherwise at N(0, 1), for tests. Default: true. */
  readonly init: boolean;
}

/** PEFT's targets by `model_type`, the feed-forward ones last. */
const DEFAULTS: Readonly<Record<string, { readonly targets: readonly string[]; readonly feedforward: string }>> = {
  bert: { targets: ["key", "value", "output.dense"], feedforward: "output.dense" },
  gpt2: { targets: ["c_attn", "mlp.c_proj"], feedforward: "mlp.c_proj" },
  llama: { targets: ["k_proj", "v_proj", "down_proj"], feedforward: "down_proj" },
  mistral: { targets: ["k_proj", "v_proj", "down_proj"], feedforward: "down_proj" },
  qwen2: { targets: ["q_proj", "v_proj", "down_proj"], feedforward: "down_proj" },
  qwen3: { targets: ["q_proj", "v_proj", "down_proj"], feedforward: "down_proj" },
  roberta: { targets: ["key", "value", "output.dense"], feedforward: "output.dense" },
};

export const ia3: Method<Ia3Config> = {
  name: "ia3",
  source: "Liu et al. 2022, arXiv 2205.05638",
  about: "multiplies the outputs of attention's layers and the inputs of feed-forward layers by a vector",
  settings: {
    feedforwardModules: optional(
      nameList("feedforward_modules", [], "targets that multiply their input; null: those of the model's type"),
    ),
    init: flag("init_ia3_weights", true, "start at one"),
  },
  file: {
    type: "IA3",
    lacks: ["bias", "ensure_weight_tying", "layers_pattern", "layers_to_transform"],
  },

  defaultTargets({ modelType }) {
    const known = modelType === undefined ? undefined : DEFAULTS[modelType];
    if (known !== undefined) return known.targets;
    throw new ConfigError({
      where: "target_modules",
      what: "nothing says which layers of this model (IA)³ is put on",
      hint: "name them, and the feed-forward ones among them in feedforward_modules",
    });
  },

  complete(config, { modelType }, layers) {
    const { feedforwardModules } = config;
    const matches = (one: string) => layers.some(({ name }) => name.endsWith(one));
    if (feedforwardModules === null) {
      const known = modelType === undefined ? undefined : DEFAULTS[modelType];
      if (known !== undefined) return { ...config, feedforwardModules: [known.feedforward].filter(matches) };
      throw new ConfigError({
        where: "feedforward_modules",
        what: "nothing says which layers of this model are feed-forward ones",
        hint: "list those among the targets that multiply their input; [] for none",
      });
    }
    const unused = typeof feedforwardModules === "string" ? [] : feedforwardModules.filter((one) => !matches(one));
    if (unused.length === 0) return config;
    throw new ConfigError({
      where: "feedforward_modules",
      what: `${listed(unused.map((one) => `"${one}"`))}: no target's name ends like that`,
      hint: `targets are ${listed(layers.map(({ name }) => name))}`,
    });
  },

  parameters(layer, config) {
    if (layer.kind === "embedding") {
      throw new ConfigError({
        where: layer.name,
        what: "(IA)³ is not defined on an embedding",
        hint: "leave this layer out of the targets",
      });
    }
    const width = isFeedforward(layer, config) ? layer.inFeatures : layer.outFeatures;
    const isColumn = layer.kind === "linear" && !isFeedforward(layer, config);
    const shape = layer.kind === "conv2d" ? [1, width, 1, 1] : isColumn ? [width, 1] : [1, width];
    return [{ name: "ia3_l", shape, init: config.init ? ones : normal(1) }];
  },

  forward(call) {
    const { layer, config, x, first } = call;
    const l = alongFeatures(call);
    if (!isFeedforward(layer, config)) return mul(call.previous(), l);
    const scaled = call.output(mul(x, l));
    // Adapters before this one have no part in what is multiplied.
    return first ? scaled : add(call.previous(), sub(scaled, call.output()));
  },

  merged({ layer, config, parameters, weight }) {
    const l = parameters["ia3_l"]!;
    const ofInputs = isFeedforward(layer, config);
    if (layer.kind !== "conv2d") {
      const isInRows = layer.kind === "linear" && layer.fanInFanOut === true ? ofInputs : !ofInputs;
      return mul(weight, reshape(l, isInRows ? [-1, 1] : [1, -1]));
    }
    if (!ofInputs) return mul(weight, reshape(l, [-1, 1, 1, 1]));
    // Filters of one group read the same inputs.
    const groups = layer.options.groups ?? 1;
    const [perGroup, inputs] = [layer.outFeatures / groups, layer.inFeatures / groups];
    const rows = expand(reshape(l, [groups, 1, inputs]), shapeOf([groups, perGroup, inputs]));
    return mul(weight, reshape(rows, [layer.outFeatures, inputs, 1, 1]));
  },

  mergedBias({ layer, config, parameters, bias }) {
    if (bias === undefined || isFeedforward(layer, config)) return undefined;
    return mul(bias, reshape(parameters["ia3_l"]!, [-1]));
  },

  isIdle: ({ ia3_l }) => ia3_l !== undefined && Array.prototype.every.call(ia3_l, (value) => value === 1),
};

function isFeedforward({ name }: Layer, { feedforwardModules }: Ia3Config): boolean {
  if (typeof feedforwardModules === "string") {
    return pythonPattern(feedforwardModules, "feedforward_modules").matchesWhole(name);
  }
  return (feedforwardModules ?? []).some((one) => name.endsWith(one));
}

/** l, so that it meets the features of x or y. */
function alongFeatures({ layer, parameters }: AdapterCall<Ia3Config>): Value {
  const l = parameters["ia3_l"]!;
  return layer.kind === "conv2d" ? l : reshape(l, [1, -1]);
}
