/**
 * P-tuning: embeddings before the tokens, as in prompt tuning, made of a trained table by a small network while they are
 * trained: an MLP, or a bidirectional LSTM and an MLP.
 *
 * Source: Liu et al. 2021, arXiv 2103.10385, §3.2: P_i = MLP([LSTM→(E)_i ; LSTM←(E)_i]). As in PEFT, all virtual tokens come
 * first, and the default is `MLP`: Linear(d, h), ReLU, Linear(h, h), ReLU, Linear(h, d), without an LSTM. The file has what
 * comes out, and the network is dropped.
 */
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { cast } from "../ir/ops/cast.ts";
import { scalar } from "../ir/ops/constant.ts";
import { less } from "../ir/ops/less.ts";
import { mul } from "../ir/ops/mul.ts";
import { randomUniform } from "../ir/ops/random-uniform.ts";
import { relu } from "../ir/ops/relu.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { kaimingUniform, normal } from "../nn/init.ts";
import { multiplyRows } from "../nn/linear.ts";
import { lstm, lstmParameters } from "../nn/lstm.ts";
import type { Method, MethodParameter, SequenceCall } from "./method.ts";
import { promptSizes, withPrompt } from "./prompt-tuning.ts";
import { flag, integer, oneOf, optional, probability } from "./settings.ts";
import {
  completeSizes,
  NO_TARGETS,
  packTable,
  TABLE,
  tableParameter,
  VIRTUAL_SETTINGS,
  virtualKey,
  type VirtualTokensConfig,
} from "./virtual-tokens.ts";

const ENCODERS = ["MLP", "LSTM"] as const;

export interface PTuningConfig extends VirtualTokensConfig {
  /** Default: `MLP`. */
  readonly encoderReparameterizationType: (typeof ENCODERS)[number];
  /** h. Default: the model's width. */
  readonly encoderHiddenSize: number | null;
  /** Of the LSTM. Default: 2. */
  readonly encoderNumLayers: number;
  /** Between the layers of the LSTM, while training. Default: 0. */
  readonly encoderDropout: number;
  /** Whether the network is there: it is dropped when an adapter is saved. Default: true. */
  readonly encoded: boolean;
}

type Shared = Readonly<Record<string, Value>>;

const LSTM = "prompt_encoder.lstm_head.";
const MLP = "prompt_encoder.mlp_head.";

export const pTuning: Method<PTuningConfig> = {
  name: "p-tuning",
  source: "Liu et al. 2021, arXiv 2103.10385",
  about: "prompt tuning whose embeddings a small network makes while they are trained",
  on: "model",
  settings: {
    ...VIRTUAL_SETTINGS,
    encoderReparameterizationType: oneOf("encoder_reparameterization_type", "MLP", "the network", ENCODERS),
    encoderHiddenSize: optional(integer("encoder_hidden_size", 1, "its width; null: the model's")),
    encoderNumLayers: integer("encoder_num_layers", 2, "layers of the LSTM"),
    encoderDropout: probability("encoder_dropout", 0, "between the layers of the LSTM, while training"),
    encoded: flag(undefined, true, "whether the network is there"),
  },
  file: {
    type: "P_TUNING",
    lacks: NO_TARGETS,
    key: virtualKey,
    unwrapped: true,
    loaded: (config) => ({ ...config, encoded: false }),
    pack: (call) => packTable(call, call.config.encoded ? (shared) => encode(call.config, shared) : undefined),
  },
  startsElsewhere: "every token attends to the virtual ones, too",
  unmergeable: "embeddings that stand before the tokens are no weight",
  virtualPredict: true,

  complete(config, model) {
    const sizes = promptSizes("p-tuning", model);
    const { encoderHiddenSize } = config;
    return { ...completeSizes("p-tuning", config, sizes), encoderHiddenSize: encoderHiddenSize ?? sizes.tokenDim };
  },

  shared({ config }) {
    const { tokenDim, encoderHiddenSize, encoderReparameterizationType: type, encoderNumLayers, encoded } = config;
    const [d, h] = [tokenDim!, encoderHiddenSize!];
    const table = tableParameter(config, d, normal(1));
    if (!encoded) return [table];
    if (type === "MLP") return [table, ...dense(0, d, h), ...dense(2, h, h), ...dense(4, h, d)];
    return [table, ...lstmParameters(LSTM, d, h, encoderNumLayers), ...dense(0, 2 * h, 2 * h), ...dense(2, 2 * h, d)];
  },

  virtualTokens: ({ numVirtualTokens }) => numVirtualTokens,

  sequence(call) {
    const { config, shared, random } = call;
    return withPrompt(call, config.encoded ? encode(config, shared, random) : shared[TABLE]!);
  },
};

function dense(index: number, inputs: number, outputs: number): MethodParameter[] {
  const init = kaimingUniform(inputs);
  return [
    { name: `${MLP}${index}.weight`, shape: [outputs, inputs], init },
    { name: `${MLP}${index}.bias`, shape: [outputs], init },
  ];
}

/** The prompt [P, D]. */
function encode(
  { encoderReparameterizationType: type, encoderNumLayers, encoderDropout }: PTuningConfig,
  shared: Shared,
  random?: SequenceCall<PTuningConfig>["random"],
): Value {
  const apply = (index: number, x: Value) =>
    add(multiplyRows(x, shared[`${MLP}${index}.weight`]!), reshape(shared[`${MLP}${index}.bias`]!, [1, -1]));
  const table = shared[TABLE]!;
  if (type === "MLP") return apply(4, relu(apply(2, relu(apply(0, table)))));
  const parameter = (name: string) => shared[`${LSTM}${name}`]!;
  const between = (x: Value, layer: number) => dropped(x, encoderDropout, layer, random);
  return apply(2, relu(apply(0, lstm(table, encoderNumLayers, parameter, between))));
}

/** x with elements set to 0 with probability p and the rest divided by 1 - p; x itself when not training. */
function dropped(x: Value, p: number, layer: number, random: SequenceCall<PTuningConfig>["random"]): Value {
  if (p === 0 || random === undefined) return x;
  const u = randomUniform(random.seed, { stream: (random.stream + layer) >>> 0, shape: x.type.shape });
  return mul(x, mul(cast(less(u, scalar(x.graph, 1 - p)), "float32"), scalar(x.graph, 1 / (1 - p))));
}
