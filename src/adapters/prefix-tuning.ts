/**
 * Prefix tuning: in every block, attention sees P more keys and values, which are trained: [Kp; K], [Vp; V].
 *
 * Source: Li & Liang 2021, arXiv 2101.00190, §4. As in PEFT, the keys are used as they are, without a rotation; the tokens
 * stand at positions P, P + 1, …; the file has `prompt_embeddings` [P, L · 2 · Hkv · Dh], for each block its keys, then its
 * values. Hkv counts the heads of keys, which grouped-query attention has fewer of.
 *
 * With `prefix_projection` the table is made of a smaller one, Linear(Tanh(Linear(E))) with E [P, Hkv · Dh], while it is
 * trained (§4.3: training it directly is less stable); the file has what comes out, and nothing else is needed afterwards.
 *
 * Each example gives P places to the prefix. They are computed like tokens, and their keys and values replaced, so that
 * packed examples, padding and the key/value cache need to know nothing of it.
 */
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { slice } from "../ir/ops/slice.ts";
import { tanh } from "../ir/ops/tanh.ts";
import { transpose } from "../ir/ops/transpose.ts";
import { kaimingUniform, normal, zeros } from "../nn/init.ts";
import { multiplyRows } from "../nn/linear.ts";
import type { Method, MethodParameter } from "./method.ts";
import { flag, integer, oneOf, optional } from "./settings.ts";
import {
  atVirtual,
  completeSizes,
  languageSizes,
  NO_TARGETS,
  packTable,
  rowsAt,
  TABLE,
  tableParameter,
  VIRTUAL_SETTINGS,
  virtualKey,
  type VirtualTokensConfig,
} from "./virtual-tokens.ts";

export interface PrefixTuningConfig extends VirtualTokensConfig {
  /** Make the table of a smaller one while it is trained. Default: false. */
  readonly prefixProjection: boolean;
  /** Width between the two layers that make it. Default: Hkv · Dh. */
  readonly encoderHiddenSize: number | null;
  /** `zero`: keys and values start at zero. Default: null, N(0, 1), or as layers start with `prefixProjection`. */
  readonly initWeights: "zero" | null;
  /** Whether those layers are there: they are dropped when an adapter is saved. Default: true. */
  readonly encoded: boolean;
}

type Shared = Readonly<Record<string, Value>>;

const [W1, B1, W2, B2] = ["0.weight", "0.bias", "2.weight", "2.bias"].map(
  (name) => `prompt_encoder.transform.${name}`,
) as [string, string, string, string];

export const prefixTuning: Method<PrefixTuningConfig> = {
  name: "prefix-tuning",
  source: "Li & Liang 2021, arXiv 2101.00190",
  about: "puts trained keys and values before the tokens, in every block",
  on: "model",
  settings: {
    ...VIRTUAL_SETTINGS,
    prefixProjection: flag("prefix_projection", false, "make the prefix of a smaller table while it is trained"),
    encoderHiddenSize: optional(integer("encoder_hidden_size", 1, "width between the two layers that make it")),
    initWeights: optional(oneOf("init_weights", "zero", "zero: keys and values start at zero", ["zero"])),
    encoded: flag(undefined, true, "whether the layers that make the prefix are there"),
  },
  file: {
    type: "PREFIX_TUNING",
    lacks: NO_TARGETS,
    key: virtualKey,
    unwrapped: true,
    loaded: (config) => ({ ...config, encoded: false }),
    pack: (call) => packTable(call, isEncoded(call.config) ? encode : undefined),
  },
  startsElsewhere: "every token attends to the prefix, too",
  unmergeable: "what attention sees besides the tokens is no weight",

  complete(config, model) {
    const { kvHeads, headDim, blocks } = languageSizes("prefix-tuning", model);
    const tokenDim = kvHeads * headDim;
    const sizes = { tokenDim, numAttentionHeads: kvHeads, numLayers: blocks };
    const { encoderHiddenSize } = config;
    return { ...completeSizes("prefix-tuning", config, sizes), encoderHiddenSize: encoderHiddenSize ?? tokenDim };
  },

  shared({ config }) {
    const { numLayers, tokenDim, encoderHiddenSize: hidden, initWeights } = config;
    const width = 2 * numLayers! * tokenDim!;
    const isZero = initWeights === "zero";
    if (!isEncoded(config)) return [tableParameter(config, width, isZero ? zeros : normal(1))];
    const dense = (weight: string, bias: string, inputs: number, outputs: number, zero: boolean): MethodParameter[] => {
      const init = zero ? zeros : kaimingUniform(inputs);
      return [
        { name: weight, shape: [outputs, inputs], init },
        { name: bias, shape: [outputs], init },
      ];
    };
    return [
      tableParameter(config, tokenDim!, normal(1)),
      ...dense(W1, B1, tokenDim!, hidden!, false),
      ...dense(W2, B2, hidden!, width, isZero),
    ];
  },

  virtualTokens: ({ numVirtualTokens }) => numVirtualTokens,

  sequence({ sequence, config, shared, model, virtual }) {
    const { kvHeads, headDim } = model;
    const table = isEncoded(config) ? encode(shared) : shared[TABLE]!; // [P, L · 2 · Hkv · Dh]
    const width = kvHeads * headDim;
    return {
      ...sequence,
      attend(call) {
        const [B, , T] = call.k.type.shape;
        const prefixed = (part: 0 | 1, x: Value) => {
          const from = (2 * call.block + part) * width;
          const rows = rowsAt(slice(table, 1, from, from + width), virtual!); // [B, T, Hkv · Dh]
          const perHead = transpose(reshape(rows, [B!, T!, kvHeads, headDim]), [0, 2, 1, 3]); // [B, Hkv, T, Dh]
          return atVirtual(virtual!, [B!, 1, T!, 1], perHead, x);
        };
        return sequence.attend({ ...call, k: prefixed(0, call.k), v: prefixed(1, call.v) });
      },
    };
  },
};

function isEncoded({ prefixProjection, encoded }: PrefixTuningConfig): boolean {
  return prefixProjection && encoded;
}

function encode(shared: Shared): Value {
  const dense = (x: Value, weight: string, bias: string) =>
    add(multiplyRows(x, shared[weight]!), reshape(shared[bias]!, [1, -1]));
  return dense(tanh(dense(shared[TABLE]!, W1, B1)), W2, B2);
}
