/** y = x Wᵀ + b over the last axis, W [out, in], as PyTorch's `nn.Linear`; or W [in, out], as GPT-2's `Conv1D`. */
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { matmul } from "../ir/ops/matmul.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { type Init, kaimingUniform, zeros } from "./init.ts";
import { callLayer, type LinearLayer, type ParameterSpec, type Tracing } from "./module.ts";

export interface Linear {
  readonly layer: LinearLayer;
  readonly parameters: readonly ParameterSpec[];
  /** [..., in] -> [..., out] */
  forward(tracing: Tracing, x: Value): Value;
}

export interface LinearOptions {
  /** Default: true. */
  readonly bias?: boolean;
  /** W is stored as [in, out]. Default: false. */
  readonly fanInFanOut?: boolean;
  /** It gives the model's output. Default: false. */
  readonly isOutput?: boolean;
  /** How W starts; the bias is then zero. Default: PyTorch's, for both. */
  readonly init?: Init;
}

/** Names its parameters `name.weight` and, if there is a bias, `name.bias`. */
export function linear(
  name: string,
  inFeatures: number,
  outFeatures: number,
  { bias = true, fanInFanOut = false, isOutput = false, init }: LinearOptions = {},
): Linear {
  const weight = {
    name: `${name}.weight`,
    shape: fanInFanOut ? [inFeatures, outFeatures] : [outFeatures, inFeatures],
    init: init ?? kaimingUniform(inFeatures),
  };
  const shift = { name: `${name}.bias`, shape: [outFeatures], init: init ? zeros : kaimingUniform(inFeatures) };
  const layer: LinearLayer = {
    kind: "linear",
    name,
    weight: weight.name,
    inFeatures,
    outFeatures,
    ...(bias ? { bias: shift.name } : {}),
    ...(fanInFanOut ? { fanInFanOut } : {}),
    ...(isOutput ? { isOutput } : {}),
  };
  return {
    layer,
    parameters: bias ? [weight, shift] : [weight],
    forward(tracing, x) {
      // One product of matrices, whatever the rank of x; adapters see the same two axes.
      const rows = reshape(x, [-1, inFeatures]);
      const shifted = (product: Value) => (bias ? add(product, tracing.parameter(shift.name, shift.shape)) : product);
      const y = callLayer(
        tracing,
        layer,
        rows,
        weight.shape,
        (input, w) => shifted(fanInFanOut ? matmul(input, w) : multiplyRows(input, w)),
        (stored, input) => shifted(stored.multiply(input, fanInFanOut, { peaked: isOutput })),
      );
      return reshape(y, [...x.type.shape.slice(0, -1), outFeatures]);
    },
  };
}

/** x Wᵀ. Shapes: [rows, in], [out, in] -> [rows, out]. */
export function multiplyRows(x: Value, weight: Value): Value {
  return matmul(x, weight, { transB: true });
}
