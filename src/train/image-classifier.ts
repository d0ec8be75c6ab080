/** Training and testing a model that sorts images into classes: graphs, batches, epochs. */
import { type Adapter, adapterHook, withCopies } from "../adapters/adapter.ts";
import { type ImageDataset, IMAGE_BYTES, labelsInto, normalizeInto } from "../data/image-dataset.ts";
import { Graph, type Value } from "../ir/graph.ts";
import { reduceMean } from "../ir/ops/reduce-mean.ts";
import { softmaxCrossEntropy } from "../ir/ops/softmax-cross-entropy.ts";
import { dim, shapeOf } from "../ir/shape.ts";
import type { Model, ParameterSpec, Tracing } from "../nn/module.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { Random } from "../random.ts";
import type { Device, Feeds } from "../runtime/runtime.ts";
import { Stepper } from "./stepper.ts";
import { trainingGraph } from "./training-graph.ts";

export type ImageModel = Model<{ x: Value }>;

/** Rows below which the engine's rearranged weights pay for their copy. */
const PREPACK_BELOW = 64;
/** Images of one run when testing. */
const TEST_BATCH = 250;

export interface FitOptions {
  readonly model: ImageModel;
  /** Adapters at work. Default: none. */
  readonly adapters?: readonly Adapter[];
  /** Names of the parameters that are trained. */
  readonly trainable: ReadonlySet<string>;
  readonly optimizer: Optimizer;
  readonly learningRate: number;
  readonly batchSize: number;
  readonly epochs: number;
  /** Seed of the order of the images (a new one every epoch) and of everything random in the model. */
  readonly seed: number;
  /** Called after every step, with the number of the epoch from 0 and the images seen in it. */
  readonly onStep?: (step: { readonly epoch: number; readonly images: number; readonly loss: number }) => void;
  /** Stops after the step at hand when aborted. */
  readonly signal?: AbortSignal;
}

export interface Fit {
  /** Loss of every step, in order. */
  readonly losses: readonly number[];
  /** Seconds of each epoch. */
  readonly epochSeconds: readonly number[];
}

/**
 * Trains on `images`. The last batch of an epoch may be smaller.
 * @throws NumericError if the loss stops being finite; the reason of `signal` if it is aborted
 */
export async function fitImages(device: Device, images: ImageDataset, options: FitOptions): Promise<Fit> {
  const { model, adapters = [], optimizer, batchSize } = options;
  const parameters = parametersOf(model, adapters);
  const typicalSizes = { B: batchSize };
  const training = trainingGraph({
    parameters,
    trainable: options.trainable,
    optimizer,
    typicalSizes,
    ...(adapters.length === 0 ? {} : { adapt: (seed) => adapterHook(adapters, { seed }) }),
    loss(tracing) {
      const labels = tracing.graph.feed("labels", { dtype: "int32", shape: [dim("B")] });
      const logits = model.forward(withCopies(tracing, adapters), { x: feedImages(tracing.graph) });
      return reduceMean(softmaxCrossEntropy(logits, labels));
    },
  });
  const stepper = await Stepper.create(device, training, {
    optimizer,
    seed: options.seed,
    typicalSizes,
    frozen: training.frozen,
    prepack: training.frozen.length > 0 && batchSize < PREPACK_BELOW,
    // Activations of a batch of small images are small; a merged weight, in the weight form, is not.
    arena: true,
  });
  const losses: number[] = [];
  const epochSeconds: number[] = [];
  try {
    for (let epoch = 0; epoch < options.epochs; epoch++) {
      const order = new Random(options.seed, epoch + 1).permutation(images.count);
      const start = performance.now();
      for (let at = 0; at < images.count; at += batchSize) {
        options.signal?.throwIfAborted();
        const batch = order.subarray(at, at + batchSize);
        const { loss } = await stepper.step(feedsOf(images, batch), options.learningRate);
        losses.push(loss);
        options.onStep?.({ epoch, images: at + batch.length, loss });
      }
      epochSeconds.push((performance.now() - start) / 1000);
    }
  } finally {
    await stepper.dispose();
  }
  return { losses, epochSeconds };
}

/** What a model says of every image: its logits [count, classes], row by row. */
export interface Predictions {
  readonly logits: Float32Array;
  /** [count] the class with the largest logit. */
  readonly classes: Uint8Array;
  /** Share of the images whose class is right, in [0, 1]. */
  readonly accuracy: number;
}

/** Runs the model on all of `images`. */
export async function predictImages(
  device: Device,
  images: ImageDataset,
  {
    model,
    adapters = [],
    onBatch,
  }: { model: ImageModel; adapters?: readonly Adapter[]; onBatch?: (images: number) => void },
): Promise<Predictions> {
  const graph = new Graph();
  const tracing: Tracing = {
    graph,
    training: false,
    typicalSizes: { B: TEST_BATCH },
    parameter: (name, shape) => graph.state(name, { dtype: "float32", shape: shapeOf(shape) }),
    ...(adapters.length === 0 ? {} : { adapt: adapterHook(adapters) }),
  };
  const logits = model.forward(withCopies(tracing, adapters), { x: feedImages(graph) });
  graph.output("logits", logits);
  const classCount = logits.type.shape.at(-1)!.size!;
  const executable = await device.compile(graph, { frozen: parametersOf(model, adapters).map(({ name }) => name) });
  const all = new Float32Array(images.count * classCount);
  const classes = new Uint8Array(images.count);
  let right = 0;
  try {
    for (let at = 0; at < images.count; at += TEST_BATCH) {
      const indices = range(at, Math.min(at + TEST_BATCH, images.count));
      const { x } = feedsOf(images, indices);
      const results = await executable.run({ x: x! });
      all.set(results.logits!.data as Float32Array, at * classCount);
      for (const i of indices) {
        classes[i] = largest(all.subarray(i * classCount, (i + 1) * classCount));
        if (classes[i] === images.labels[i]) right++;
      }
      onBatch?.(at + indices.length);
    }
  } finally {
    await executable.dispose();
  }
  return { logits: all, classes, accuracy: right / images.count };
}

function parametersOf(model: ImageModel, adapters: readonly Adapter[]): ParameterSpec[] {
  return [...model.parameters, ...adapters.flatMap((adapter) => adapter.parameters)];
}

function feedImages(graph: Graph): Value {
  return graph.feed("x", { dtype: "float32", shape: [dim("B"), dim(IMAGE_BYTES, "I")] });
}

function feedsOf(images: ImageDataset, indices: Uint32Array): Feeds {
  const x = new Float32Array(indices.length * IMAGE_BYTES);
  normalizeInto(images, indices, x);
  const labels = new Int32Array(indices.length);
  labelsInto(images, indices, labels);
  return {
    x: { dtype: "float32", shape: [indices.length, IMAGE_BYTES], data: x },
    labels: { dtype: "int32", shape: [indices.length], data: labels },
  };
}

function range(start: number, end: number): Uint32Array {
  return Uint32Array.from({ length: end - start }, (_, i) => start + i);
}

function largest(values: Float32Array): number {
  return values.reduce((best, value, i) => (value > values[best]! ? i : best), 0);
}
