/** y = W * x + b over images [N, C, H, W], as PyTorch's `nn.Conv2d`. */
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { conv, type ConvOptions } from "../ir/ops/conv.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { kaimingUniform } from "./init.ts";
import { callLayer, type ConvLayer, type ParameterSpec, type Tracing } from "./module.ts";

export interface Conv2d {
  readonly layer: ConvLayer;
  readonly parameters: readonly ParameterSpec[];
  /** [N, in, H, W] -> [N, out, h, w] */
  forward(tracing: Tracing, x: Value): Value;
}

export interface Conv2dOptions extends ConvOptions {
  /** Default: true. */
  readonly bias?: boolean;
}

/** Names its parameters `name.weight` [out, in / groups, kh, kw] and, unless `bias` is false, `name.bias` [out]. */
export function conv2d(
  name: string,
  inFeatures: number,
  outFeatures: number,
  kernel: readonly [number, number],
  { bias = true, ...options }: Conv2dOptions = {},
): Conv2d {
  const channels = inFeatures / (options.groups ?? 1);
  const init = kaimingUniform(channels * kernel[0] * kernel[1]);
  const weight = { name: `${name}.weight`, shape: [outFeatures, channels, ...kernel], init };
  const shift = { name: `${name}.bias`, shape: [outFeatures], init };
  const layer: ConvLayer = { kind: "conv2d", name, weight: weight.name, inFeatures, outFeatures, kernel, options };
  return {
    layer,
    parameters: bias ? [weight, shift] : [weight],
    forward(tracing, x) {
      return callLayer(tracing, layer, x, weight.shape, (input, w) => {
        const y = conv(input, w, options);
        return bias ? add(y, reshape(tracing.parameter(shift.name, shift.shape), [outFeatures, 1, 1])) : y;
      });
    },
  };
}
