/**
 * DoRA: a weight in size and direction. V = W + s·B A; y = (m / n) ∘ (V x) + b, where n = ‖V‖ of each output's row and m, one
 * number for each output, starts as ‖W‖.
 *
 * Source: Liu et al. 2024, arXiv 2402.09353, eq. 5; n counts as a constant in derivatives (§4.3), as in PEFT. The paper has a
 * column of its d×k matrix where PyTorch's [out, in] has a row.
 *
 * No matrix of W's size is made: with wᵢ and Bᵢ the rows of W and B,
 *
 *     nᵢ² = ‖wᵢ‖² + Bᵢ · (2 s A wᵢ + s² A Aᵀ Bᵢᵀ)
 *
 * costs a product of W with r rows, which is r / (2 rows) of what the layer itself costs forward and backward, and what is of
 * the size of B. ‖wᵢ‖² is kept with the adapter. The terms may cancel: n is right to about 1e-7 ‖wᵢ‖² / nᵢ², and never below
 * 2⁻¹¹ of what they sum up to, where only rounding would be left.
 *
 * With dropout the update sees x̃ and so does the change of size, as in PEFT: y = W x + b + (m/n − 1) ∘ (W x̃) + (m/n) ∘ s·B A x̃,
 * which takes a second product with W. Convolutions and embeddings as in PEFT; an embedding has no bias and no dropout.
 */
import { ConfigError } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { affine } from "../ir/ops/affine.ts";
import { concat } from "../ir/ops/concat.ts";
import { conv } from "../ir/ops/conv.ts";
import { detach } from "../ir/ops/detach.ts";
import { div } from "../ir/ops/div.ts";
import { matmul } from "../ir/ops/matmul.ts";
import { maximum } from "../ir/ops/maximum.ts";
import { mul } from "../ir/ops/mul.ts";
import { neg } from "../ir/ops/neg.ts";
import { reduceSum } from "../ir/ops/reduce-sum.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { sqrt } from "../ir/ops/sqrt.ts";
import { transpose } from "../ir/ops/transpose.ts";
import { type Matrix, rowNorms, transposed } from "../linear-algebra/svd.ts";
import { ones, zeros } from "../nn/init.ts";
import { multiplyRows } from "../nn/linear.ts";
import type { Layer } from "../nn/module.ts";
import { OFF, UNSUPPORTED, WITHOUT_EFFECT } from "./lora-file.ts";
import { checkLora, LORA_FILE, LORA_SETTINGS, type LoraConfig, rateOf, replacesByStart, startLora } from "./lora.ts";
import { branchOf, dropped, factorParameters, factorsOf, scaled, scaling, updateOf } from "./low-rank.ts";
import type { AdapterCall, Method, Start, StartCall } from "./method.ts";
import { startNamed } from "./starts/index.ts";

const MAGNITUDE = "lora_magnitude_vector";
/** ‖wᵢ‖², [out]. */
const SQUARES = "weight_norm_squared";
/** Of a sum of squares that cancels out: 2⁻²², what rounding may leave. */
const FLOOR = 2 ** -22;

/** A row of zeros has no direction: its size is 0 / this. */
const TINY = 1e-30;

export type DoraConfig = LoraConfig;

export const dora: Method<DoraConfig> = {
  name: "dora",
  source: "Liu et al. 2024, arXiv 2402.09353",
  about: "trains the size and the direction of each row of W + s·B A apart",
  settings: LORA_SETTINGS,
  file: {
    ...LORA_FILE,
    claims: (get) => get("use_dora") === true,
    also: () => ({ ...OFF, use_dora: true }),
    ignored: [...WITHOUT_EFFECT, "use_dora"],
    refused: UNSUPPORTED.filter((key) => key !== "use_dora"),
  },
  rate: rateOf,
  replacesWeight: replacesByStart,

  check(config) {
    const { dropout, form, init, loraBias } = config;
    return [
      ...checkLora(config),
      ...(form === "activation" ? [] : [`form is "${form}": DoRA has the activation form only`]),
      ...(loraBias ? ["loraBias is true: PEFT has no bias of B with DoRA"] : []),
      ...(dropout > 0 && startNamed(init).takesFromBase === true
        ? [`dropout is ${dropout} with the start ${init}: not defined here for DoRA`]
        : []),
    ];
  },

  parameters(layer, config) {
    const { outFeatures: out } = layer;
    return [
      ...factorParameters(layer, config),
      { name: MAGNITUDE, shape: layer.kind === "conv2d" ? [1, out, 1, 1] : [out], init: ones },
      { name: SQUARES, shape: [out], init: zeros, frozen: true, derived: true },
    ];
  },

  async start(call) {
    const { layer, config } = call;
    const made = await startLora(call);
    const W = rowsOf(layer, made.weight ?? (await call.weight()));
    const squares = Float32Array.from(rowNorms(W), (norm) => norm * norm);
    // While B A is nothing n is exactly the root of this, and m / n exactly 1.
    const magnitude = call.given === undefined ? startNorms(call, made, W) : undefined;
    return {
      ...made,
      values: {
        ...made.values,
        [SQUARES]: squares,
        [MAGNITUDE]: magnitude ?? squares.map((square) => Math.sqrt(square)),
      },
    };

    function startNorms(from: StartCall<DoraConfig>, start: Start, base: Matrix): Float32Array | undefined {
      const specs = new Map(factorParameters(layer, config).map((spec) => [spec.name, spec]));
      const isTaken = startNamed(config.init).takesFromBase === true && layer.kind === "linear";
      const valuesOf = (name: string) => {
        const spec = specs.get(name)!;
        return (
          start.values[name] ??
          spec.init(
            from.random(name),
            spec.shape.reduce((a, b) => a * b, 1),
          )
        );
      };
      const [nameA, nameB] = [...specs.keys()] as [string, string];
      const [A, B] = [valuesOf(nameA), valuesOf(nameB)];
      const isNothing = (values: Float32Array) => values.every((value) => value === 0);
      if (isTaken || isNothing(A) || isNothing(B)) return undefined;
      return Float32Array.from(rowNorms(withProduct(base, B, A, config.r, scaling(config))));
    }
  },

  forward(call) {
    const { config, layer, x, random } = call;
    if (layer.kind === "conv2d" || (config.dropout > 0 && random !== undefined && layer.kind === "linear")) {
      return outputOf(call, dropped(call));
    }
    const scale = scaleOf(call);
    const resized = mul(add(call.previous(), scaled(branchOf(call, x), scaling(config))), scale);
    const bias = layer.kind === "linear" ? layer.bias : undefined;
    // b is in there and must stay as large as it is.
    if (bias === undefined) return resized;
    return add(resized, mul(call.tracing.parameter(bias, [layer.outFeatures]), affine(scale, -1, 1)));
  },

  merged({ layer, config, parameters, weight, base }) {
    const update = scaled(updateOf(layer, parameters), scaling(config));
    const V = add(base, update);
    const [axes, shape] = alongRows(layer);
    const n = sqrt(reduceSum(mul(V, V), axes));
    const scale = div(reshape(parameters[MAGNITUDE]!, [layer.outFeatures]), n);
    return mul(add(weight, update), reshape(scale, shape));
  },
};

/** The layer's output with its own product apart. @param input x̃, x after dropout */
export function outputOf(call: AdapterCall<DoraConfig>, input: Value): Value {
  const scale = scaleOf(call);
  const change = mul(weightProduct(call, input), affine(scale, 1, -1));
  return add(add(call.previous(), change), mul(scaled(branchOf(call, input), scaling(call.config)), scale));
}

/** m / n, which broadcasts along the outputs of the layer. */
function scaleOf(call: AdapterCall<DoraConfig>): Value {
  const { layer, config, parameters } = call;
  const s = scaling(config);
  const { A, B } = stacked(parameters);
  const rank = A.type.shape[0]!;
  const [a, b] = [reshape(A, [rank, -1]), reshape(B, [layer.outFeatures, rank])];
  const WA = productWithFactor(call, a); // [out, r]
  const BAA = matmul(b, matmul(a, a, { transB: true })); // [out, r]
  const own = parameters[SQUARES]!;
  const [mixed, square] = [mul(b, affine(WA, 2 * s)), mul(b, affine(BAA, s * s))].map((term) => reduceSum(term, [1]));
  const sum = add(own, add(mixed!, square!));
  const least = affine(add(own, square!), FLOOR, TINY);
  const n = detach(sqrt(maximum(sum, least)));
  const magnitude = parameters[MAGNITUDE]!;
  return div(magnitude, reshape(n, magnitude.type.shape));
}

/** A and B whose product is the whole change of W, with what the start took from it. */
function stacked(parameters: Readonly<Record<string, Value>>): { A: Value; B: Value } {
  const { A, B, initial } = factorsOf(parameters);
  if (initial === undefined) return { A, B };
  return { A: concat([A, initial.A], 0), B: concat([B, neg(initial.B)], 1) };
}

/** W Aᵀ. Shapes: [r, in] -> [out, r]. */
function productWithFactor(call: AdapterCall<DoraConfig>, a: Value): Value {
  const { layer, tracing } = call;
  if (layer.kind === "conv2d") return multiplyRows(reshape(call.weight(), [layer.outFeatures, -1]), a);
  const isTurned = layer.kind === "embedding" || layer.fanInFanOut === true;
  const stored = tracing.stored?.(layer.weight);
  if (stored !== undefined) return transpose(stored.multiply(a, isTurned), [1, 0]);
  return isTurned ? matmul(call.weight(), a, { transA: true, transB: true }) : multiplyRows(call.weight(), a);
}

/** The layer's product without its bias. */
function weightProduct(call: AdapterCall<DoraConfig>, x: Value): Value {
  const { layer, tracing } = call;
  if (layer.kind === "conv2d") return conv(x, call.weight(), layer.options);
  if (layer.kind === "embedding") {
    throw new ConfigError({ where: layer.name, what: "an embedding has no dropout" });
  }
  const isTurned = layer.fanInFanOut === true;
  const stored = tracing.stored?.(layer.weight);
  if (stored !== undefined) return stored.multiply(x, isTurned);
  return isTurned ? matmul(x, call.weight()) : multiplyRows(x, call.weight());
}

/** Axes of a weight that a norm of an output's row sums over, and the shape in which norms broadcast against it. */
function alongRows(layer: Layer): [axes: number[], shape: number[]] {
  const { outFeatures: out } = layer;
  if (layer.kind === "conv2d")
    return [
      [1, 2, 3],
      [out, 1, 1, 1],
    ];
  const isTurned = layer.kind === "embedding" || layer.fanInFanOut === true;
  return isTurned ? [[0], [1, out]] : [[1], [out, 1]];
}

/** The weight with a row for each output. */
function rowsOf(layer: Layer, data: Float32Array): Matrix {
  const { outFeatures: rows } = layer;
  const columns = data.length / rows;
  const isTurned = layer.kind === "embedding" || (layer.kind === "linear" && layer.fanInFanOut === true);
  return { rows, columns, data: isTurned ? transposed({ rows: columns, columns: rows, data }) : data };
}

/** W + s·B A */
function withProduct({ rows, columns, data }: Matrix, B: Float32Array, A: Float32Array, r: number, s: number): Matrix {
  const sum = Float64Array.from(data);
  for (let i = 0; i < rows; i++) {
    for (let k = 0; k < r; k++) {
      const weight = s * B[i * r + k]!;
      for (let j = 0; j < columns; j++) sum[i * columns + j]! += weight * A[k * columns + j]!;
    }
  }
  return { rows, columns, data: sum };
}
