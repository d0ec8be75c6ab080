/**
 * Bottleneck adapters: h ← h + s·(U f(D h + d) + u), where h [rows, out] is the output of a layer, bias included and before
 * the residual sum, D [m, out], U [out, m], f not linear. *Houlsby*: behind attention and behind the feed-forward layer of
 * every block; *Pfeiffer*: behind the feed-forward layer only. *Parallel*: D reads the layer's input instead, D [m, in].
 *
 * Source: Houlsby et al. 2019, arXiv 1902.00751, §2.1; Pfeiffer et al. 2021, arXiv 2005.00247, §3.2.2; for the parallel form
 * He et al. 2022, arXiv 2110.04366, §4. Settings and defaults are those of AdapterHub's `DoubleSeqBnConfig` and
 * `SeqBnConfig`; m is the width divided by `reduction_factor`. AdapterHub's parallel form reads the input of the whole
 * sub-layer, and this one that of its last projection.
 *
 * PEFT has no such method: the files are like PEFT's, with a `peft_type` that it does not know.
 */
import { ConfigError } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { scalar } from "../ir/ops/constant.ts";
import { gelu } from "../ir/ops/gelu.ts";
import { mul } from "../ir/ops/mul.ts";
import { relu } from "../ir/ops/relu.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { silu } from "../ir/ops/silu.ts";
import { tanh } from "../ir/ops/tanh.ts";
import { type Init, kaimingUniform, normal, truncatedNormal, zeros } from "../nn/init.ts";
import { multiplyRows } from "../nn/linear.ts";
import type { Layer } from "../nn/module.ts";
import type { AdaptableModel } from "./copies.ts";
import type { Method } from "./method.ts";
import { finite, flag, integer, oneOf, optional, type Settings } from "./settings.ts";

/** By AdapterHub's names. */
const ACTIVATIONS: Readonly<Record<Activation, (x: Value) => Value>> = {
  relu,
  gelu: (x) => gelu(x),
  gelu_new: (x) => gelu(x, { approximate: "tanh" }),
  swish: silu,
  tanh,
};
const ACTIVATION_NAMES = ["relu", "gelu", "gelu_new", "swish", "tanh"] as const;
type Activation = (typeof ACTIVATION_NAMES)[number];

/**
 * Of D and U; biases start at zero. `houlsby`: N(0, 0.01²), cut off at two deviations; more than that hurts (§3.6). `bert`:
 * N(0, 0.02²). `mam_adapter`: D U(-1/√in, 1/√in), U zero, so that training starts from the base exactly.
 */
const INITS = ["houlsby", "bert", "mam_adapter"] as const;
type BottleneckInit = (typeof INITS)[number];

export interface BottleneckConfig {
  /** m = the width divided by this, rounded down, at least 1. Default: 16. */
  readonly reductionFactor: number;
  /** m itself; it goes before the factor. Default: null. */
  readonly bottleneckSize: number | null;
  /** f. Default: `swish` for Houlsby, `relu` for Pfeiffer. */
  readonly nonLinearity: Activation;
  /** s. Default: 1. */
  readonly scaling: number;
  /** Default: `houlsby` for Houlsby, `bert` for Pfeiffer. */
  readonly initWeights: BottleneckInit;
  /** D reads the layer's input. Default: false. */
  readonly parallel: boolean;
  /** The norms of the model are trained, too, as in Houlsby's experiments. Default: false. */
  readonly trainNorms: boolean;
}

/** Names that output projections have, by the end. */
const BEHIND_ATTENTION = ["self_attn.o_proj", "attn.c_proj", "attention.output.dense"];
const BEHIND_MLP = ["mlp.down_proj", "mlp.c_proj"];
/** In encoders the name of the MLP's is that of the block, whose number goes before this; attention's ends alike. */
const BEHIND_ENCODER_MLP = /\.\d+\.output\.dense$/;

const [DOWN, DOWN_BIAS, UP, UP_BIAS] = [
  "adapter_down.weight",
  "adapter_down.bias",
  "adapter_up.weight",
  "adapter_up.bias",
];

export const houlsby = bottleneck({
  name: "houlsby",
  source: "Houlsby et al. 2019, arXiv 1902.00751",
  about: "a small network behind attention and behind the feed-forward layer of every block",
  behind: [...BEHIND_ATTENTION, ...BEHIND_MLP],
  nonLinearity: "swish",
  initWeights: "houlsby",
});

export const pfeiffer = bottleneck({
  name: "pfeiffer",
  source: "Pfeiffer et al. 2021, arXiv 2005.00247",
  about: "a small network behind the feed-forward layer of every block",
  behind: BEHIND_MLP,
  nonLinearity: "relu",
  initWeights: "bert",
});

interface Variant extends Pick<Method<BottleneckConfig>, "name" | "source" | "about"> {
  /** Targets where nothing is said: ends of names. */
  readonly behind: readonly string[];
  readonly nonLinearity: Activation;
  readonly initWeights: BottleneckInit;
}

function bottleneck({ name, source, about, behind, nonLinearity, initWeights }: Variant): Method<BottleneckConfig> {
  const settings: Settings<BottleneckConfig> = {
    reductionFactor: integer("reduction_factor", 16, "the bottleneck has the width divided by this"),
    bottleneckSize: optional(integer("bottleneck_size", 1, "its width; goes before the factor")),
    nonLinearity: oneOf("non_linearity", nonLinearity, "what is applied in the bottleneck", ACTIVATION_NAMES),
    scaling: finite("scaling", 1, "what is added is multiplied by this"),
    initWeights: oneOf("init_weights", initWeights, "how its weights start", INITS),
    parallel: flag("use_parallel_adapter", false, "it reads the layer's input, not its output"),
    trainNorms: flag("train_norms", false, "train the norms of the model, too"),
  };
  return {
    name,
    source,
    about,
    settings,
    gated: true,
    startsElsewhere: "its weights start near zero, and not at zero, unless init_weights is mam_adapter",
    unmergeable: "what it adds is no linear function of the layer's input",

    defaultTargets(model) {
      const ofEncoder = model.layers.map((layer) => layer.name).filter((layer) => BEHIND_ENCODER_MLP.test(layer));
      const ends = behind.filter((end) => model.layers.some((layer) => layer.name.endsWith(`.${end}`)));
      const names = [...ends, ...ofEncoder];
      if (names.length > 0) return names;
      throw new ConfigError({
        where: "target_modules",
        what: `nothing says where in this model the ${name} adapter goes`,
        hint: "name the output projections of its blocks",
      });
    },

    parameters(layer, config) {
      if (layer.kind !== "linear") {
        const groups = layer.kind === "conv2d" ? (layer.options.groups ?? 1) : 1;
        throw new ConfigError({
          where: layer.name,
          what: `the ${name} adapter is for linear layers`,
          got:
            layer.kind === "embedding" ? "an embedding" : `a convolution${groups === 1 ? "" : ` in ${groups} groups`}`,
          hint: "leave this layer out of the targets",
        });
      }
      const { outFeatures: out } = layer;
      const read = config.parallel ? layer.inFeatures : out;
      const m = widthOf(layer, config);
      return [
        { name: DOWN, shape: [m, read], init: initOf(config.initWeights, read, false) },
        { name: DOWN_BIAS, shape: [m], init: zeros },
        { name: UP, shape: [out, m], init: initOf(config.initWeights, m, true) },
        { name: UP_BIAS, shape: [out], init: zeros },
      ];
    },

    copies: (model, { trainNorms }) => (trainNorms ? normParameters(model) : []),

    forward(call) {
      const { config, x, parameters, gate } = call;
      const h = call.previous();
      const dense = (y: Value, weight: string, bias: string) =>
        add(multiplyRows(y, parameters[weight]!), reshape(parameters[bias]!, [1, -1]));
      const narrow = ACTIVATIONS[config.nonLinearity](dense(config.parallel ? x : h, DOWN, DOWN_BIAS));
      const added = dense(narrow, UP, UP_BIAS);
      const scaled = config.scaling === 1 ? added : mul(added, scalar(x.graph, config.scaling));
      return add(h, gate === undefined ? scaled : mul(scaled, gate));
    },

    isIdle: (parameters) =>
      [UP, UP_BIAS].every((one) => {
        const values = parameters[one];
        return values !== undefined && Array.prototype.every.call(values, (value) => value === 0);
      }),
  };
}

/** m, the width of the bottleneck. */
function widthOf({ outFeatures }: Layer, { bottleneckSize, reductionFactor }: BottleneckConfig): number {
  return bottleneckSize ?? Math.max(1, Math.floor(outFeatures / reductionFactor));
}

function initOf(init: BottleneckInit, fanIn: number, isUp: boolean): Init {
  switch (init) {
    case "houlsby":
      return truncatedNormal(0.01);
    case "bert":
      return normal(0.02);
    case "mam_adapter":
      return isUp ? zeros : kaimingUniform(fanIn);
  }
}

/** Parameters that belong to no layer: those of the norms. */
function normParameters({ parameters, layers }: AdaptableModel): string[] {
  const names = new Set(layers.map(({ name }) => name));
  const module = (parameter: string) => parameter.slice(0, parameter.lastIndexOf("."));
  return parameters.filter(({ name, shape }) => shape.length === 1 && !names.has(module(name))).map(({ name }) => name);
}
