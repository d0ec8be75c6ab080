/** What LoHa and LoKr share: their settings, their dropout, and products that make filters. */
import { ConfigError } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { cast } from "../ir/ops/cast.ts";
import { scalar } from "../ir/ops/constant.ts";
import { conv } from "../ir/ops/conv.ts";
import { div } from "../ir/ops/div.ts";
import { greater } from "../ir/ops/greater.ts";
import { matmul } from "../ir/ops/matmul.ts";
import { maximum } from "../ir/ops/maximum.ts";
import { mul } from "../ir/ops/mul.ts";
import { randomUniform } from "../ir/ops/random-uniform.ts";
import { reduceMean } from "../ir/ops/reduce-mean.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { slice } from "../ir/ops/slice.ts";
import { transpose } from "../ir/ops/transpose.ts";
import { shapeOf } from "../ir/shape.ts";
import type { ConvLayer, Layer, LinearLayer } from "../nn/module.ts";
import type { AdapterCall, MethodFile, RankConfig } from "./method.ts";
import { configOn } from "./patterns.ts";
import { finite, flag, integer, perLayer, probability } from "./settings.ts";

export interface LycorisConfig extends RankConfig {
  /** Rank. Default: 8. */
  readonly r: number;
  /** Default: 8, as in PEFT. */
  readonly alpha: number;
  /** Probability of dropping a row of the update, an output of the layer, while training. Default: 0. */
  readonly rankDropout: number;
  /** Probability of dropping the whole update of a layer while training. Default: 0. */
  readonly moduleDropout: number;
  /** Factors of convolutions keep the kernel apart (FedPara, proposition 3). 1×1 kernels do without. Default: false. */
  readonly useEffectiveConv2d: boolean;
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly alphaPattern: Readonly<Record<string, number>>;
}

export const LYCORIS_SETTINGS = {
  r: integer("r", 8, "rank"),
  alpha: finite("alpha", 8, "the update is scaled by alpha / r"),
  rankDropout: probability("rank_dropout", 0, "probability of dropping an output of the update while training"),
  moduleDropout: probability("module_dropout", 0, "probability of dropping a layer's update while training"),
  useEffectiveConv2d: flag("use_effective_conv2d", false, "factors of convolutions keep the kernel apart"),
  rankPattern: perLayer("rank_pattern", "ranks of single layers", integer(undefined, 8, "")),
  alphaPattern: perLayer("alpha_pattern", "alphas of single layers", finite(undefined, 8, "")),
};

export const LYCORIS_LACKS = [
  "bias",
  "ensure_weight_tying",
  "fan_in_fan_out",
] as const satisfies MethodFile<LycorisConfig>["lacks"];

/** Patterns that are none are found now, and not at the first layer. */
export function checkPatterns(config: RankConfig): readonly string[] {
  configOn(config, "");
  return [];
}

/** @throws ConfigError if PEFT does not put LoHa and LoKr on such a layer */
export function adaptable(layer: Layer, method: string): LinearLayer | ConvLayer {
  const problem =
    layer.kind === "embedding"
      ? "on an embedding"
      : layer.kind === "linear" && layer.fanInFanOut === true
        ? "on a weight that is stored as [in, out], as GPT-2's are: PEFT has none for it"
        : undefined;
  if (layer.kind !== "embedding" && problem === undefined) return layer;
  throw new ConfigError({
    where: layer.name,
    what: `${method} is not defined ${problem}`,
    hint: "leave this layer out of the targets, or take another method, such as lora",
  });
}

/** Shape of a layer's weight: [out, in], or [out, in / groups, kh, kw]. */
export function weightShape(layer: LinearLayer | ConvLayer): readonly number[] {
  if (layer.kind === "linear") return [layer.outFeatures, layer.inFeatures];
  return [layer.outFeatures, layer.inFeatures / (layer.options.groups ?? 1), ...layer.kernel];
}

/** Whether the factors keep the kernel apart. */
export function isEffective(layer: Layer, { useEffectiveConv2d }: LycorisConfig): layer is ConvLayer {
  return useEffectiveConv2d && layer.kind === "conv2d" && layer.kernel.some((size) => size !== 1);
}

export function scaled(x: Value, s: number): Value {
  return s === 1 ? x : mul(x, scalar(x.graph, s));
}

/** Σ_ij t[i, j, k, l] a[i, p] b[j, q]: [p, q, k, l], from t [r, r, kh, kw], a [r, p] and b [r, q]. */
export function cpProduct(t: Value, a: Value, b: Value): Value {
  const [r, , kh, kw] = t.type.shape.map(({ size }) => size!);
  const [p, q] = [a.type.shape[1]!.size!, b.type.shape[1]!.size!];
  const rows = matmul(a, reshape(t, [r!, r! * kh! * kw!]), { transA: true }); // [p, r kh kw]
  const columns = reshape(transpose(reshape(rows, [p, r!, kh! * kw!]), [0, 2, 1]), [p * kh! * kw!, r!]);
  const both = reshape(matmul(columns, b), [p, kh! * kw!, q]);
  return reshape(transpose(both, [0, 2, 1]), [p, q, kh!, kw!]);
}

/**
 * What multiplies the update while training: 0 for outputs that are dropped, and for all of them if the layer is; [out].
 * Undefined: nothing is dropped.
 * @param rescale the others are divided by the part of them that is left
 */
export function droppedOutputs(call: AdapterCall<LycorisConfig>, rescale: boolean): Value | undefined {
  const { random, layer, config } = call;
  const { rankDropout, moduleDropout } = config;
  if (random === undefined || (rankDropout === 0 && moduleDropout === 0)) return undefined;
  const outputs = layer.outFeatures;
  const u = randomUniform(random.seed, { stream: random.stream, shape: [outputs + 1] });
  const kept = (from: number, to: number, p: number) =>
    cast(greater(slice(u, 0, from, to), scalar(u.graph, p)), "float32");
  const factors: Value[] = [];
  if (rankDropout > 0) {
    const rows = kept(0, outputs, rankDropout);
    // Where every row is dropped nothing is left to be scaled, and PEFT divides by zero.
    factors.push(rescale ? div(rows, maximum(reduceMean(rows), scalar(u.graph, 1 / outputs))) : rows);
  }
  if (moduleDropout > 0) factors.push(kept(outputs, outputs + 1, moduleDropout));
  return factors.reduce((a, b) => mul(a, b));
}

/** `previous` and an update of the output, of which each row gets as much as its gate says. */
export function addUpdate(call: AdapterCall<LycorisConfig>, update: Value): Value {
  const { gate, layer } = call;
  const perRow = gate === undefined || layer.kind !== "conv2d" ? gate : reshape(gate, [-1, 1, 1, 1]);
  return add(call.previous(), perRow === undefined ? update : mul(update, perRow));
}

/** The layer with weight ΔW, without its bias. */
export function applyUpdate({ layer, x }: AdapterCall<LycorisConfig>, delta: Value): Value {
  return layer.kind === "conv2d" ? conv(x, delta, layer.options) : matmul(x, delta, { transB: true });
}

/** A vector [out] along the outputs of a layer. */
export function alongOutputs({ layer }: AdapterCall<LycorisConfig>, vector: Value): Value {
  return reshape(vector, layer.kind === "conv2d" ? [1, -1, 1, 1] : [1, -1]);
}

/** A vector [out] along the rows of a weight, or a number [1]. */
export function alongRows(weight: Value, vector: Value): Value {
  return reshape(vector, [-1, ...weight.type.shape.slice(1).map(() => 1)]);
}

/** x in another shape of known sizes. */
export function shaped(x: Value, shape: readonly number[]): Value {
  return reshape(x, shapeOf(shape));
}
