/**
 * VeRA: y = W x + λ_b ⊙ B (λ_d ⊙ A x), with A [r, in] and B [out, r] random, frozen and shared by all layers; each layer
 * has its vectors λ_d [r] and λ_b [out].
 *
 * Source: Kopiczko et al. 2023, arXiv 2310.11454, §3.1 eq. 2. λ_b starts at zero, λ_d at `d_initial`. As in PEFT, A and B
 * are as large as the largest layer needs, and others take their first columns and rows; they are Kaiming-uniform numbers of
 * PyTorch's generator with seed `projection_prng_key`, so that a file without them can be loaded.
 */
import { ConfigError } from "../errors.ts";
import { add } from "../ir/ops/add.ts";
import { matmul } from "../ir/ops/matmul.ts";
import { mul } from "../ir/ops/mul.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { slice } from "../ir/ops/slice.ts";
import type { Value } from "../ir/graph.ts";
import { constant, normal, ones, zeros } from "../nn/init.ts";
import { multiplyRows } from "../nn/linear.ts";
import type { Layer } from "../nn/module.ts";
import { dropped } from "./lora.ts";
import { MersenneTwister } from "./mersenne-twister.ts";
import type { Method } from "./method.ts";
import { finite, flag, integer, probability } from "./settings.ts";

export interface VeraConfig {
  /** Rank. Default: 256. */
  readonly r: number;
  /** Seed of A and B. Default: 0. */
  readonly projectionPrngKey: number;
  /** The file holds A and B; otherwise they are drawn again when it is loaded. Default: true. */
  readonly saveProjection: boolean;
  /** Probability of dropping an element of A's input while training, in [0, 1). Default: 0. */
  readonly dropout: number;
  /** Where λ_d starts. Default: 0.1. */
  readonly dInitial: number;
  /** λ_b starts at zero and λ_d at `dInitial`; otherwise at one and at N(0, 1), for tests. Default: true. */
  readonly init: boolean;
}

export const vera: Method<VeraConfig> = {
  name: "vera",
  source: "Kopiczko et al. 2023, arXiv 2310.11454",
  about: "trains two vectors per layer between random matrices that all layers share",
  settings: {
    r: integer("r", 256, "rank"),
    projectionPrngKey: integer("projection_prng_key", 0, "seed of the random matrices", {
      min: Number.MIN_SAFE_INTEGER,
    }),
    saveProjection: flag("save_projection", true, "the file holds the random matrices"),
    dropout: probability("vera_dropout", 0, "probability of dropping an element of A's input while training"),
    dInitial: finite("d_initial", 0.1, "where λ_d starts"),
    init: flag("init_weights", true, "λ_b starts at zero"),
  },
  file: {
    type: "VERA",
    lacks: ["ensure_weight_tying", "exclude_modules"],
  },
  gated: true,

  parameters(layer, { r, dInitial, init }) {
    if (layer.kind !== "linear") {
      throw new ConfigError({
        where: layer.name,
        what: `VeRA is for linear layers only, as in PEFT, and this is ${groupsOf(layer)}`,
        hint: "leave this layer out of the targets",
      });
    }
    return [
      { name: "vera_lambda_b", shape: [layer.outFeatures], init: init ? zeros : ones },
      { name: "vera_lambda_d", shape: [r], init: init ? constant(dInitial) : normal(1) },
    ];
  },

  shared({ layers, config: { r, saveProjection } }) {
    const [inputs, outputs] = largest(layers);
    const frozen = saveProjection ? { frozen: true as const } : { frozen: true as const, derived: true as const };
    return [
      { name: "vera_A", shape: [r, inputs], init: zeros, ...frozen },
      { name: "vera_B", shape: [outputs, r], init: zeros, ...frozen },
    ];
  },

  startShared({ layers, config: { r, projectionPrngKey } }) {
    const [inputs, outputs] = largest(layers);
    const generator = new MersenneTwister(projectionPrngKey);
    const kaiming = (rows: number, fanIn: number) => {
      const bound = Math.sqrt(3) * (Math.SQRT2 / Math.sqrt(fanIn));
      return generator.uniform(rows * fanIn, -bound, bound);
    };
    const A = kaiming(r, inputs);
    return { vera_A: A, vera_B: kaiming(outputs, r) };
  },

  forward(call) {
    const { layer, parameters, shared, gate } = call;
    const [A, B] = matrices(layer, shared);
    const columns = mul(multiplyRows(dropped(call), A), parameters["vera_lambda_d"]!); // [rows, r]
    const opened = gate === undefined ? columns : mul(columns, gate);
    return add(call.previous(), mul(multiplyRows(opened, B), parameters["vera_lambda_b"]!));
  },

  merged({ layer, parameters, shared, weight }) {
    const [A, B] = matrices(layer, shared);
    const rows = mul(A, reshape(parameters["vera_lambda_d"]!, [-1, 1]));
    const columns = mul(B, reshape(parameters["vera_lambda_b"]!, [-1, 1]));
    const isTransposed = layer.kind === "linear" && layer.fanInFanOut === true;
    const product = isTransposed ? matmul(rows, columns, { transA: true, transB: true }) : matmul(columns, rows);
    return add(weight, product);
  },

  isIdle: ({ vera_lambda_b: b }) => b !== undefined && Array.prototype.every.call(b, (value) => value === 0),
};

/** in and out of the largest layers: of two different ones, maybe. */
function largest(layers: readonly Layer[]): [number, number] {
  return [
    Math.max(...layers.map(({ inFeatures }) => inFeatures)),
    Math.max(...layers.map(({ outFeatures }) => outFeatures)),
  ];
}

/** A [r, in] and B [out, r] of a layer. */
function matrices(layer: Layer, shared: Readonly<Record<string, Value>>): [Value, Value] {
  const { vera_A: A, vera_B: B } = shared;
  return [slice(A!, 1, 0, layer.inFeatures), slice(B!, 0, 0, layer.outFeatures)];
}

function groupsOf(layer: Layer): string {
  if (layer.kind === "embedding") return "an embedding";
  return `a convolution in ${layer.kind === "conv2d" ? (layer.options.groups ?? 1) : 1} groups`;
}
