/**
 * Fine-tuning in a random subspace: θ = θ0 + P z, one vector z [d] for the weights of all adapted layers together.
 *
 * Source: Aghajanyan et al. 2020, arXiv 2012.13255, §2 (θ^D = θ0^D + P(θ^d)); Li et al. 2018, arXiv 1804.08838, §2, for
 * the measure that comes of it, the least d that is good enough.
 *
 * P [N, d] is not the papers' (a Fastfood transform): each row has one element ±1/√n_h, where h is its column and n_h the
 * number of rows with that column. So PᵀP = 1 exactly, nothing of P's size exists, and ΔW takes as many numbers as W. The
 * elements of a weight are taken d by d; in every such line each column occurs once, from a random one on, and signs are
 * random. They are functions of the seed, the layer's name and the position (ir/ops/random-uniform.ts), made again at
 * every step.
 */
import type { Graph, Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { after } from "../ir/ops/after.ts";
import { cast } from "../ir/ops/cast.ts";
import { scalar } from "../ir/ops/constant.ts";
import { conv } from "../ir/ops/conv.ts";
import { floor } from "../ir/ops/floor.ts";
import { gather } from "../ir/ops/gather.ts";
import { less } from "../ir/ops/less.ts";
import { matmul } from "../ir/ops/matmul.ts";
import { minimum } from "../ir/ops/minimum.ts";
import { mul } from "../ir/ops/mul.ts";
import { randomUniform, uniformAt } from "../ir/ops/random-uniform.ts";
import { range } from "../ir/ops/range.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { slice } from "../ir/ops/slice.ts";
import { sub } from "../ir/ops/sub.ts";
import { where } from "../ir/ops/where.ts";
import { shapeOf } from "../ir/shape.ts";
import { zeros } from "../nn/init.ts";
import type { Layer } from "../nn/module.ts";
import { streamOf } from "../random.ts";
import type { AdapterCall, Method } from "./method.ts";
import { integer } from "./settings.ts";

export interface IntrinsicDimensionConfig {
  /** Length of z, at most 2²³. Default: 1024. */
  readonly d: number;
  /** Of P: a whole number, from 0 to 2³¹ - 1. Default: 0. */
  readonly seed: number;
}

/** Random numbers have 24 bits: more columns could not all be first. */
const MAX_D = 2 ** 23;
const MAX_SEED = 2 ** 31 - 1;

export const intrinsicDimension: Method<IntrinsicDimensionConfig> = {
  name: "intrinsic-dimension",
  source: "Aghajanyan et al. 2020, arXiv 2012.13255; Li et al. 2018, arXiv 1804.08838",
  about: "trains one vector of d numbers, of which a random matrix makes the updates of all weights",
  settings: {
    d: integer("d", 1024, "length of the trained vector"),
    seed: integer("seed", 0, "of the random matrix", { min: 0 }),
  },
  check: ({ d, seed }) => [
    ...(d > MAX_D ? [`d is ${d}, more than ${MAX_D}`] : []),
    ...(seed > MAX_SEED ? [`seed is ${seed}, more than ${MAX_SEED}`] : []),
  ],

  // All of θ, but for the vocabulary and what is no matrix.
  defaultTargets: () => "all-linear",

  shared: ({ config: { d } }) => [
    { name: "z", shape: [d], init: zeros },
    { name: "scale", shape: [d], init: zeros, frozen: true, derived: true },
  ],

  startShared: ({ layers, config }) => ({ z: new Float32Array(config.d), scale: scales(layers, config) }),

  forward(call) {
    const { layer, config, shared, tracing, first, gate, x } = call;
    if (!first || gate !== undefined || tracing.stored?.(layer.weight) !== undefined) {
      return add(
        call.previous(),
        tracing.graph.cheap(() => applyUpdate(call, update(layer, config, shared))),
      );
    }
    const weight = call.weight();
    return tracing.graph.cheap(() => call.apply(x, add(weight, update(layer, config, shared))));
  },

  merged: ({ layer, config, shared, weight }) => add(weight, update(layer, config, shared)),
};

/** Shape of a layer's weight, as it is stored. */
function weightShape(layer: Layer): readonly number[] {
  const { inFeatures, outFeatures } = layer;
  switch (layer.kind) {
    case "embedding":
      return [inFeatures, outFeatures];
    case "linear":
      return layer.fanInFanOut === true ? [inFeatures, outFeatures] : [outFeatures, inFeatures];
    case "conv2d":
      return [outFeatures, inFeatures / (layer.options.groups ?? 1), ...layer.kernel];
  }
}

/** Lines of d elements that a weight takes: the last may not be full. */
function linesOf(layer: Layer, d: number): { readonly elements: number; readonly lines: number } {
  const elements = weightShape(layer).reduce((a, b) => a * b, 1);
  return { elements, lines: Math.ceil(elements / d) };
}

/** 1/√n_h for every column h, [d]. */
function scales(layers: readonly Layer[], { d, seed }: IntrinsicDimensionConfig): Float32Array {
  let everywhere = 0;
  // What the last lines add, as differences between neighbours.
  const steps = new Float64Array(d + 1);
  for (const layer of layers) {
    const { elements, lines } = linesOf(layer, d);
    everywhere += Math.floor(elements / d);
    const rest = elements % d;
    if (rest === 0) continue;
    const from = firstColumn(uniformAt(seed, firstStream(layer), lines - 1), d);
    const beyond = Math.max(0, from + rest - d);
    steps[from]! += 1;
    steps[from + rest - beyond]! -= 1;
    steps[0]! += beyond > 0 ? 1 : 0;
    steps[beyond]! -= beyond > 0 ? 1 : 0;
  }
  let more = 0;
  return Float32Array.from({ length: d }, (_, h) => {
    more += steps[h]!;
    // A column that no weight has stays without effect.
    return 1 / Math.sqrt(Math.max(1, everywhere + more));
  });
}

/** The column of a line's first element. @param u from [0, 1) */
function firstColumn(u: number, d: number): number {
  return Math.min(d - 1, Math.floor(Math.fround(u * d)));
}

const firstStream = (layer: Layer) => streamOf(`intrinsic-dimension/first/${layer.name}`);
const signStream = (layer: Layer) => streamOf(`intrinsic-dimension/sign/${layer.name}`);

/** ΔW, the layer's part of P z, in the shape of its weight. */
function update(layer: Layer, { d, seed }: IntrinsicDimensionConfig, shared: Readonly<Record<string, Value>>): Value {
  const { z, scale } = shared as { readonly z: Value; readonly scale: Value };
  const { graph } = z;
  const { elements, lines } = linesOf(layer, d);
  // The engine would compute what follows from numbers alone when it loads the graph, and keep it: a number per weight.
  const key = after(scalar(graph, seed, "int32"), z);
  const u = randomUniform(key, { stream: firstStream(layer), shape: [lines, 1] });
  const first = minimum(floor(mul(u, scalar(graph, d))), scalar(graph, d - 1));
  const counted = add(cast(first, "int32"), positions(graph, d)); // [lines, d]
  const limit = scalar(graph, d, "int32");
  const columns = where(less(counted, limit), counted, sub(counted, limit));
  const signs = sub(
    mul(
      cast(less(randomUniform(key, { stream: signStream(layer), shape: [lines, d] }), scalar(graph, 0.5)), "float32"),
      scalar(graph, 2),
    ),
    scalar(graph, 1),
  );
  const line = mul(gather(mul(z, scale), columns), signs); // [lines, d]
  const flat = slice(reshape(line, [lines * d]), 0, 0, elements);
  return reshape(flat, shapeOf(weightShape(layer)));
}

function positions(graph: Graph, d: number): Value {
  return reshape(range(graph, d), [1, d]);
}

/** What the layer makes of x with weight ΔW, without its bias. */
function applyUpdate(call: AdapterCall<IntrinsicDimensionConfig>, delta: Value): Value {
  const { layer, x } = call;
  switch (layer.kind) {
    case "linear":
      return matmul(x, delta, { transB: layer.fanInFanOut !== true });
    case "conv2d":
      return conv(x, delta, layer.options);
    case "embedding":
      return gather(delta, x);
  }
}
