/** y = x Wᵀ + b over the last axis, W [out, in], as PyTorch's `nn.Linear`. */
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { matmul } from "../ir/ops/matmul.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { dim } from "../ir/shape.ts";
import { kaimingUniform } from "./init.ts";
import { callLayer, type LinearLayer, type ParameterSpec, type Tracing } from "./module.ts";

export interface Linear {
  readonly layer: LinearLayer;
  readonly parameters: readonly ParameterSpec[];
  /** [..., in] -> [..., out] */
  forward(tracing: Tracing, x: Value): Value;
}

/** Names its parameters `name.weight` and, if `bias` (default true), `name.bias`. */
export function linear(name: string, inFeatures: number, outFeatures: number, { bias = true } = {}): Linear {
  const weight = { name: `${name}.weight`, shape: [outFeatures, inFeatures], init: kaimingUniform(inFeatures) };
  const shift = { name: `${name}.bias`, shape: [outFeatures], init: kaimingUniform(inFeatures) };
  const layer: LinearLayer = { kind: "linear", name, weight: weight.name, inFeatures, outFeatures };
  return {
    layer,
    parameters: bias ? [weight, shift] : [weight],
    forward(tracing, x) {
      const y = callLayer(tracing, layer, x, weight.shape, multiplyRows);
      return bias ? tracing.graph.scope(name, () => add(y, tracing.parameter(shift.name, shift.shape))) : y;
    },
  };
}

/** x Wᵀ over the last axis: one product of matrices, whatever the rank of x. */
export function multiplyRows(x: Value, weight: Value): Value {
  const width = x.type.shape.at(-1)!;
  const y = matmul(reshape(x, [-1, width]), weight, { transB: true });
  return reshape(y, [...x.type.shape.slice(0, -1), dim(weight.type.shape[0]!)]);
}
