/** A deep MLP as one training step, with or without checkpointed regions. */
import { grad } from "../../src/ir/grad.ts";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { add } from "../../src/ir/ops/add.ts";
import { scalar } from "../../src/ir/ops/constant.ts";
import { matmul } from "../../src/ir/ops/matmul.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { reduceMean } from "../../src/ir/ops/reduce-mean.ts";
import { sub } from "../../src/ir/ops/sub.ts";
import { tanh } from "../../src/ir/ops/tanh.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import type { Tensor } from "../../src/runtime/runtime.ts";
import { noise } from "./run.ts";

export interface DeepMlpOptions {
  readonly width: number;
  readonly layers: number;
  /** Layers of a checkpointed region. Absent: no regions. */
  readonly region?: number;
  /** What happens to a layer's output inside of the region. Default: tanh. */
  readonly activation?: (x: Value) => Value;
}

/** Feeds `x` [B, width]; outputs `loss`; every weight and bias is trained by plain gradient descent. */
export function deepMlp({ width, layers, region, activation = tanh }: DeepMlpOptions): Graph {
  const graph = new Graph();
  const x = graph.feed("x", { dtype: "float32", shape: shapeOf(["B", width]) });
  const parameters: Value[] = [];
  const parameter = (name: string, shape: number[]) => {
    const value = graph.state(name, { dtype: "float32", shape: shapeOf(shape) });
    parameters.push(value);
    return value;
  };
  const layer = (h: Value, i: number) =>
    graph.scope(`fc${i}`, () => {
      const y = matmul(h, parameter(`fc${i}.weight`, [width, width]), { transB: true });
      return activation(add(y, parameter(`fc${i}.bias`, [width])));
    });
  let h = x;
  const size = region ?? layers;
  for (let first = 0; first < layers; first += size) {
    const some = Array.from({ length: Math.min(size, layers - first) }, (_, i) => first + i);
    const run = () => some.reduce(layer, h);
    h = region === undefined ? run() : graph.checkpoint(run);
  }
  const loss = reduceMean(mul(h, h));
  graph.output("loss", loss);
  const gradients = grad(loss, parameters);
  parameters.forEach((value, i) => graph.update(value, sub(value, mul(gradients[i]!, scalar(graph, 0.5)))));
  return graph;
}

/** Starting values of the states of {@link deepMlp}. */
export function deepMlpStates({ width, layers }: DeepMlpOptions): Record<string, Tensor> {
  const states: Record<string, Tensor> = {};
  for (let i = 0; i < layers; i++) {
    const weight = noise([width, width], i);
    // Activations neither die out nor saturate: variance 1 / width.
    states[`fc${i}.weight`] = { ...weight, data: (weight.data as Float32Array).map((v) => v * Math.sqrt(3 / width)) };
    states[`fc${i}.bias`] = noise([width], 1000 + i);
  }
  return states;
}
