/**
 * What layers and models are made of: parameters with names and shapes, layers that adapters can find by name, and the
 * tracing in which a model writes itself into a graph.
 */
import type { Graph, Value } from "../ir/graph.ts";
import type { ConvOptions } from "../ir/ops/conv.ts";
import type { DimSizes } from "../ir/shape.ts";
import type { Init } from "./init.ts";
import type { StoredWeight } from "./stored-weight.ts";

/** A parameter: float32, named as in the model's checkpoint. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly init: Init;
}

/** A layer that adapters can work on. */
export type Layer = LinearLayer | ConvLayer | EmbeddingLayer;

export interface LinearLayer {
  readonly kind: "linear";
  /** Such as `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  /** Name of the weight, W [out, in]. */
  readonly weight: string;
  /** Name of the bias, [out], if there is one. */
  readonly bias?: string;
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** The weight is stored the other way round, [in, out], as in GPT-2's `Conv1D`. Default: false. */
  readonly fanInFanOut?: boolean;
  /** The layer gives the model's output, such as `lm_head`: `all-linear` leaves it out. Default: false. */
  readonly isOutput?: boolean;
}

export interface EmbeddingLayer {
  readonly kind: "embedding";
  readonly name: string;
  /** Name of the table, W [in, out]: one row for each of `inFeatures` tokens. */
  readonly weight: string;
  readonly inFeatures: number;
  readonly outFeatures: number;
}

export interface ConvLayer {
  readonly kind: "conv2d";
  readonly name: string;
  /** Name of the weight, W [out, in / groups, kh, kw]. */
  readonly weight: string;
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly kernel: readonly [number, number];
  readonly options: ConvOptions;
}

/** What surrounds a model while it is traced. */
export interface Tracing {
  readonly graph: Graph;
  /** Whether dropout and the like are on. */
  readonly training: boolean;
  /** Sizes that named dimensions will usually have, for choices by cost. */
  readonly typicalSizes: DimSizes;
  /** The value of a parameter, by name. */
  parameter(name: string, shape: readonly number[]): Value;
  /** How a frozen weight is stored, where that is not as float32 values. Absent: all of them are. */
  readonly stored?: (name: string) => StoredWeight | undefined;
  /** Adapters at work. Absent: the base model, untouched. */
  readonly adapt?: LayerHook;
}

/** Called for every layer with its input; returns the layer's output. */
export type LayerHook = (call: LayerCall) => Value;

export interface LayerCall {
  readonly tracing: Tracing;
  readonly layer: Layer;
  /** Linear layers: [rows, in], all leading axes in one. Convolutions: [N, in, H, W]. Embeddings: int32 tokens [B, T]. */
  readonly x: Value;
  /** The layer's own weight, W, as it is stored. Built when asked for, since some storages have to compute it. */
  weight(): Value;
  /** The layer with another weight of W's shape, bias included. */
  apply(x: Value, weight: Value): Value;
  /**
   * What the layer computes without adapters: `apply(x, weight())`, or the same by a shorter way that its storage has. Built
   * when asked for. @param x another input than the call's
   */
  output(x?: Value): Value;
}

/** A model: what it is made of, and how it writes itself into a graph. `I` are its inputs. */
export interface Model<I> {
  readonly parameters: readonly ParameterSpec[];
  readonly layers: readonly Layer[];
  forward(tracing: Tracing, inputs: I): Value;
}

/**
 * Runs `layer` on x with the adapters of the tracing.
 * @param fromStored the layer's output, bias included, from a weight that is not stored as float32 values
 */
export function callLayer(
  tracing: Tracing,
  layer: Layer,
  x: Value,
  shape: readonly number[],
  apply: (x: Value, weight: Value) => Value,
  fromStored?: (stored: StoredWeight, x: Value) => Value,
): Value {
  return tracing.graph.scope(layer.name, () => {
    const stored = fromStored === undefined ? undefined : tracing.stored?.(layer.weight);
    const weight = () => tracing.parameter(layer.weight, shape);
    const output = (input = x) => (stored === undefined ? apply(input, weight()) : fromStored!(stored, input));
    return tracing.adapt?.({ tracing, layer, x, weight, apply, output }) ?? output();
  });
}

/** Number of elements of all parameters together. */
export function countElements(parameters: readonly { readonly shape: readonly number[] }[]): number {
  return parameters.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
}
