/** Normalisation layers: a scale, and for LayerNorm a shift, over the last axis. */
import type { Value } from "../ir/graph.ts";
import { layerNormalization } from "../ir/ops/layer-normalization.ts";
import { rmsNorm as rmsNormOf } from "../ir/ops/rms-norm.ts";
import { ones, zeros } from "./init.ts";
import type { ParameterSpec, Tracing } from "./module.ts";

export interface Norm {
  readonly parameters: readonly ParameterSpec[];
  /** [..., width] -> [..., width] */
  forward(tracing: Tracing, x: Value): Value;
}

/** x / √(mean(x²) + ε) · scale, with `name.weight` [width] (Zhang and Sennrich 2019, arXiv 1910.07467). */
export function rmsNorm(name: string, width: number, epsilon: number): Norm {
  const scale = { name: `${name}.weight`, shape: [width], init: ones };
  return {
    parameters: [scale],
    forward: (tracing, x) =>
      tracing.graph.scope(name, () => rmsNormOf(x, tracing.parameter(scale.name, scale.shape), epsilon)),
  };
}

/** LayerNorm, with `name.weight` and `name.bias` [width] (Ba et al. 2016, arXiv 1607.06450). */
export function layerNorm(name: string, width: number, epsilon: number): Norm {
  const scale = { name: `${name}.weight`, shape: [width], init: ones };
  const shift = { name: `${name}.bias`, shape: [width], init: zeros };
  return {
    parameters: [scale, shift],
    forward: (tracing, x) =>
      tracing.graph.scope(name, () =>
        layerNormalization(
          x,
          tracing.parameter(scale.name, scale.shape),
          tracing.parameter(shift.name, shift.shape),
          epsilon,
        ),
      ),
  };
}
