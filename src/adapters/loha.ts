/**
 * LoHa: ΔW = s·(w1_a w1_b) ∘ (w2_a w2_b), an elementwise product of two products of rank r, of rank up to r²; s = alpha / r.
 * w1_a, w2_a [out, r]; w1_b, w2_b [r, in].
 *
 * Source: Hyeon-Woo et al. 2021, "FedPara", arXiv 2108.06098, §2.1, propositions 1 and 3; as a method for fine-tuning Yeh et
 * al. 2023, "LyCORIS", arXiv 2309.14859, §3.3. As in PEFT w2_b starts at zero and the others Kaiming-uniform.
 *
 * A convolution's weight is [out, in·kh·kw]; with `use_effective_conv2d` each of the two products is
 * Σ_ij t[i, j, k, l] a[i, p] b[j, q], with t [r, r, kh, kw], a [r, out] and b [r, in].
 *
 * ΔW has to be made: the layer then runs on W + ΔW, one product instead of two. Neither is kept for the backward pass, which
 * makes them again from the factors. On a base of which the weights are not stored as float32 values, and behind another
 * adapter, the update has a product of its own.
 */
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { matmul } from "../ir/ops/matmul.ts";
import { mul } from "../ir/ops/mul.ts";
import { kaimingUniform, zeros } from "../nn/init.ts";
import type { Layer, ParameterSpec } from "../nn/module.ts";
import {
  adaptable,
  addUpdate,
  alongRows,
  applyUpdate,
  checkPatterns,
  cpProduct,
  droppedOutputs,
  isEffective,
  LYCORIS_LACKS,
  LYCORIS_SETTINGS,
  type LycorisConfig,
  scaled,
  shaped,
  weightShape,
} from "./lycoris.ts";
import type { Method } from "./method.ts";
import { flag } from "./settings.ts";

export interface LohaConfig extends LycorisConfig {
  /** w2_b starts at zero; otherwise nothing does, for tests. Default: true. */
  readonly init: boolean;
}

export const loha: Method<LohaConfig> = {
  name: "loha",
  source: "Hyeon-Woo et al. 2021, arXiv 2108.06098; Yeh et al. 2023, arXiv 2309.14859",
  about: "adds an elementwise product of two products of thin matrices to each weight: rank up to r²",
  settings: { ...LYCORIS_SETTINGS, init: flag("init_weights", true, "w2_b starts at zero") },
  file: { type: "LOHA", lacks: LYCORIS_LACKS },
  gated: true,
  check: checkPatterns,

  parameters(layer, config) {
    const [out, ...rest] = weightShape(adaptable(layer, "LoHa"));
    const { r, init } = config;
    const last = init ? zeros : undefined;
    if (isEffective(layer, config)) {
      const [inputs, ...kernel] = rest;
      return ["1", "2"].flatMap((i) => [
        factor(`hada_t${i}`, [r, r, ...kernel]),
        factor(`hada_w${i}_a`, [r, out!]),
        factor(`hada_w${i}_b`, [r, inputs!], i === "2" ? last : undefined),
      ]);
    }
    const columns = rest.reduce((a, b) => a * b, 1);
    return ["1", "2"].flatMap((i) => [
      factor(`hada_w${i}_a`, [out!, r]),
      factor(`hada_w${i}_b`, [r, columns], i === "2" ? last : undefined),
    ]);
  },

  forward(call) {
    const { layer, tracing, config, parameters, gate, first, x } = call;
    const drop = droppedOutputs(call, true);
    const delta = () => {
      const made = update(layer, config, parameters);
      return drop === undefined ? made : mul(made, alongRows(made, drop));
    };
    if (!first || gate !== undefined || tracing.stored?.(layer.weight) !== undefined) {
      return addUpdate(
        call,
        tracing.graph.cheap(() => applyUpdate(call, delta())),
      );
    }
    const weight = call.weight();
    return tracing.graph.cheap(() => call.apply(x, add(weight, delta())));
  },

  merged: ({ layer, config, parameters, weight }) => add(weight, update(layer, config, parameters)),

  isIdle: (parameters) =>
    Object.values(parameters).some((values) => Array.prototype.every.call(values, (value) => value === 0)),
};

/** Kaiming-uniform of PyTorch's fan-in, unless it starts in another way. */
function factor(name: string, shape: readonly number[], init = kaimingUniform(fanIn(shape))): ParameterSpec {
  return { name, shape, init };
}

function fanIn([, ...rest]: readonly number[]): number {
  return rest.reduce((a, b) => a * b, 1);
}

/** ΔW, in the shape of the layer's weight. */
function update(layer: Layer, { r, alpha }: LohaConfig, parameters: Readonly<Record<string, Value>>): Value {
  const product = (i: string) => {
    const [t, a, b] = [parameters[`hada_t${i}`], parameters[`hada_w${i}_a`]!, parameters[`hada_w${i}_b`]!];
    return t === undefined ? matmul(a, b) : cpProduct(t, a, b);
  };
  // The scale goes where there is least to multiply.
  const hadamard = mul(product("1"), product("2"));
  return shaped(scaled(hadamard, alpha / r), weightShape(adaptable(layer, "LoHa")));
}
