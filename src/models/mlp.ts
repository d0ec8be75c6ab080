/** Multi-layer perceptron: linear layers `fc1`, `fc2`, … with ReLU between them. */
import type { Value } from "../ir/graph.ts";
import { relu } from "../ir/ops/relu.ts";
import { linear } from "../nn/linear.ts";
import type { Model } from "../nn/module.ts";

/** @param widths of the input, the hidden layers and the output; at least two */
export function mlp(widths: readonly number[]): Model<{ x: Value }> {
  const layers = widths.slice(1).map((width, i) => linear(`fc${i + 1}`, widths[i]!, width));
  return {
    parameters: layers.flatMap((layer) => layer.parameters),
    layers: layers.map(({ layer }) => layer),
    forward: (tracing, { x }) =>
      layers.reduce((h, layer, i) => {
        const y = layer.forward(tracing, h);
        return i < layers.length - 1 ? relu(y) : y;
      }, x),
  };
}
