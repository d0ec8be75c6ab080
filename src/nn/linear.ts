/** y = x Wᵀ + b over the last axis, W [out, in], as PyTorch's `nn.Linear`. */
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { matmul } from "../ir/ops/matmul.ts";
import { reshape } from "../ir/ops/reshape.ts";
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
      // One product of matrices, whatever the rank of x; adapters see the same two axes.
      const rows = reshape(x, [-1, inFeatures]);
      const y = callLayer(tracing, layer, rows, weight.shape, (input, w) => {
        const product = multiplyRows(input, w);
        return bias ? add(product, tracing.parameter(shift.name, shift.shape)) : product;
      });
      return reshape(y, [...x.type.shape.slice(0, -1), outFeatures]);
    },
  };
}

/** x Wᵀ. Shapes: [rows, in], [out, in] -> [rows, out]. */
export function multiplyRows(x: Value, weight: Value): Value {
  return matmul(x, weight, { transB: true });
}
