/**
 * What the contract of tuning methods is tried on: small models whose sizes are all different, and the few things that
 * are done with them: fill parameters, run forward, build a training step.
 */
import { type Adapter, adapterHook, withCopies } from "../adapters/adapter.ts";
import { Graph, type Value } from "../ir/graph.ts";
import { sizeOfShape } from "../ir/ndarray.ts";
import type { ConvOptions } from "../ir/ops/conv.ts";
import { reduceMean } from "../ir/ops/reduce-mean.ts";
import { relu } from "../ir/ops/relu.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { softmaxCrossEntropy } from "../ir/ops/softmax-cross-entropy.ts";
import { dim, shapeOf } from "../ir/shape.ts";
import { conv2d } from "../nn/conv2d.ts";
import { embedding } from "../nn/embedding.ts";
import { linear } from "../nn/linear.ts";
import type { Model, ParameterSpec, Tracing } from "../nn/module.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { Random, streamOf } from "../random.ts";
import type { Device, Feeds, Tensor } from "../runtime/runtime.ts";
import { scalarTensor } from "../train/stepper.ts";
import { type TrainingGraph, trainingGraph } from "../train/training-graph.ts";

/** A model that sorts inputs into classes. */
export interface Rig {
  readonly model: Model<{ x: Value }>;
  /** Shape of one input. */
  readonly input: readonly number[];
  readonly classes: number;
  /** Inputs are tokens, int32 below this number. Absent: they are float32. */
  readonly vocabulary?: number;
}

/** Of the models: `relu` as in the golden files, or a smooth one, whose differences no kink disturbs. */
export type Activation = (x: Value) => Value;

/** Three linear layers, `fc1` to `fc3`: 7 → 11 → 6 → 5. */
export function mlpRig(activation: Activation = relu): Rig {
  const layers = [linear("fc1", 7, 11), linear("fc2", 11, 6), linear("fc3", 6, 5)] as const;
  const [fc1, fc2, fc3] = layers;
  const model: Model<{ x: Value }> = {
    parameters: layers.flatMap(({ parameters }) => parameters),
    layers: layers.map(({ layer }) => layer),
    forward: (tracing, { x }) =>
      fc3.forward(tracing, activation(fc2.forward(tracing, activation(fc1.forward(tracing, x))))),
  };
  return { model, input: [7], classes: 5 };
}

/** A convolution with an uneven kernel and stride, then a linear layer. `pads`: rows and columns added at the sides. */
export function convRig(pads: NonNullable<ConvOptions["pads"]>, activation: Activation = relu): Rig {
  const input = [3, 8, 6];
  const conv1 = conv2d("conv1", 3, 5, [3, 2], { strides: [2, 1], pads });
  const flatten = (h: Value) => reshape(h, [h.type.shape[0]!, -1]);
  const sketch = new Graph();
  const one = sketch.feed("x", { dtype: "float32", shape: shapeOf([1, ...input]) });
  const features = flatten(conv1.forward(tracingOf(sketch), one)).type.shape[1]!.size!;
  const fc = linear("fc", features, 4);
  const model: Model<{ x: Value }> = {
    parameters: [...conv1.parameters, ...fc.parameters],
    layers: [conv1.layer, fc.layer],
    forward: (tracing, { x }) => fc.forward(tracing, flatten(activation(conv1.forward(tracing, x)))),
  };
  return { model, input, classes: 4 };
}

/** A table of 13 tokens, three of which make an input, then two linear layers; the first stores its weight as [in, out]. */
export function tokenRig(activation: Activation = relu): Rig {
  const [vocabulary, tokens, width] = [13, 3, 5];
  const embed = embedding("embed", vocabulary, width, 1);
  const layers = [linear("fc1", tokens * width, 7, { fanInFanOut: true }), linear("fc2", 7, 4)] as const;
  const [fc1, fc2] = layers;
  const model: Model<{ x: Value }> = {
    parameters: [...embed.parameters, ...layers.flatMap(({ parameters }) => parameters)],
    layers: [embed.layer, fc1.layer, fc2.layer],
    forward(tracing, { x }) {
      const rows = reshape(embed.forward(tracing, x), [x.type.shape[0]!, tokens * width]);
      return fc2.forward(tracing, activation(fc1.forward(tracing, rows)));
    },
  };
  return { model, input: [tokens], classes: 4, vocabulary };
}

/** A tracing outside training. */
export function tracingOf(graph: Graph): Tracing {
  return {
    graph,
    training: false,
    typicalSizes: {},
    parameter: (name, shape) => graph.state(name, { dtype: "float32", shape: shapeOf(shape) }),
  };
}

/** `rows` inputs with labels, the same for the same seed. */
export function batchOf({ input, classes, vocabulary }: Rig, rows: number, seed = 1): { x: Tensor; labels: Tensor } {
  const random = new Random(seed);
  const shape = [rows, ...input];
  const length = sizeOfShape(shape);
  return {
    x:
      vocabulary === undefined
        ? { dtype: "float32", shape, data: Float32Array.from({ length }, () => random.normal()) }
        : { dtype: "int32", shape, data: Int32Array.from({ length }, () => random.integer(vocabulary)) },
    labels: { dtype: "int32", shape: [rows], data: Int32Array.from({ length: rows }, () => random.integer(classes)) },
  };
}

/** Fills parameters with N(0, std²), whatever they would start from: no zero hides a mistake. */
export async function scatterParameters(
  device: Device,
  parameters: readonly ParameterSpec[],
  { seed = 7, std = 0.3 } = {},
): Promise<void> {
  for (const { name, shape } of parameters) {
    const random = new Random(seed, streamOf(name));
    const data = Float32Array.from({ length: sizeOfShape(shape) }, () => std * random.normal());
    await device.write(name, { dtype: "float32", shape, data });
  }
}

/** Contents of parameters, by name. */
export async function readAll(
  device: Device,
  parameters: readonly { readonly name: string }[],
): Promise<Map<string, Tensor>> {
  const contents = new Map<string, Tensor>();
  for (const { name } of parameters) contents.set(name, await device.read(name));
  return contents;
}

/** Logits of a batch with adapters at work; with `seed`, as while training. */
export async function logitsOf(
  device: Device,
  rig: Rig,
  x: Tensor,
  adapters: readonly Adapter[],
  seed?: number,
): Promise<Tensor> {
  const graph = new Graph();
  const { model } = rig;
  const feed = feedInput(graph, rig);
  const random = seed === undefined ? undefined : graph.feed("seed", { dtype: "int32", shape: [] });
  const tracing = {
    ...tracingOf(graph),
    training: random !== undefined,
    ...(adapters.length === 0 ? {} : { adapt: adapterHook(adapters, random === undefined ? {} : { seed: random }) }),
  };
  graph.output("logits", model.forward(withCopies(tracing, adapters), { x: feed }));
  const executable = await device.compile(graph);
  try {
    const feeds: Feeds = seed === undefined ? { x } : { x, seed: scalarTensor("int32", seed) };
    return (await executable.run(feeds)).logits!;
  } finally {
    await executable.dispose();
  }
}

/** A training step of adapters on the mean cross-entropy; feeds `x` and `labels`. */
export function trainingOf(rig: Rig, adapters: readonly Adapter[], optimizer: Optimizer): TrainingGraph {
  const added = adapters.flatMap(({ parameters }) => parameters);
  return trainingGraph({
    parameters: [...rig.model.parameters, ...added],
    trainable: new Set(added.map(({ name }) => name)),
    optimizer,
    adapt: (seed) => adapterHook(adapters, { seed }),
    loss: (tracing) => lossOf(withCopies(tracing, adapters), rig),
  });
}

/** Mean cross-entropy of the model on feeds `x` and `labels`. */
export function lossOf(tracing: Tracing, rig: Rig): Value {
  const { model } = rig;
  const x = feedInput(tracing.graph, rig);
  const labels = tracing.graph.feed("labels", { dtype: "int32", shape: [dim("B")] });
  return reduceMean(softmaxCrossEntropy(model.forward(tracing, { x }), labels));
}

/** The feed `x`: a batch of inputs. */
export function feedInput(graph: Graph, { input, vocabulary }: Rig): Value {
  return graph.feed("x", {
    dtype: vocabulary === undefined ? "float32" : "int32",
    shape: [dim("B"), ...shapeOf(input)],
  });
}
