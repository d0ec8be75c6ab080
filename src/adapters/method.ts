/**
 * The contract of a tuning method: which parameters it adds to a layer, what the layer computes with them, and what its
 * weight becomes when they are merged into it. One file per method; shared code asks these questions and no others.
 */
import type { Value } from "../ir/graph.ts";
import type { Layer, LayerCall, ParameterSpec } from "../nn/module.ts";

/** Settings that every method has. Methods add their own. */
export interface MethodConfig {
  /** Rank r >= 1. */
  readonly r: number;
  /** Scales the update: scaling = alpha / r. */
  readonly alpha: number;
  /**
   * Ranks of single layers, by regular expressions of Python for their names or what follows a dot in them; the first
   * that matches counts. Default: none.
   */
  readonly rankPattern?: Readonly<Record<string, number>>;
  /** The same for alpha. Default: none. */
  readonly alphaPattern?: Readonly<Record<string, number>>;
}

/** Configurations that a method is given for a layer have that layer's rank and alpha already. */
export interface Method<C> {
  /** Registry name, and PEFT's `peft_type` in lower case. */
  readonly name: string;
  /** Where it was published. */
  readonly source: string;
  /** Checks a configuration and fills in defaults. @throws ConfigError naming every bad value */
  configure(options: Partial<C>): C;
  /**
   * What it adds to a layer; names are relative to the layer. An empty list leaves the layer alone.
   * @throws ConfigError if the layer cannot be adapted with this configuration
   */
  parameters(layer: Layer, config: C): readonly ParameterSpec[];
  /** Why a fresh adapter does not compute exactly what the base computes. Absent: it does. */
  readonly startsElsewhere?: string;
  /** The layer's output, bias included. */
  forward(call: AdapterCall<C>): Value;
  /**
   * The weight that makes the base layer compute the same: need not be a sum. Absent: the method cannot be merged, and
   * `unmergeable` says why.
   */
  merged?(call: MergeCall<C>): Value;
  readonly unmergeable?: string;
  /** The bias that goes with `merged`; undefined leaves it as it is. Absent: it always is. */
  mergedBias?(call: BiasMergeCall<C>): Value | undefined;
  /**
   * Whether `forward` honours `call.gate` itself. Absent: rows whose gate is not above 0 are given what was there before,
   * and the weight of a gate has no effect.
   */
  readonly gated?: true;
  /** Whether an adapted layer computes what it did before, given the values of the parameters. Absent: nobody can tell. */
  isIdle?(parameters: Readonly<Record<string, ArrayLike<number>>>): boolean;
}

/** A call of a layer, with the adapter's own parameters. */
export interface AdapterCall<C> extends LayerCall {
  readonly config: C;
  /** The adapter's parameters by their relative names. */
  readonly parameters: Readonly<Record<string, Value>>;
  /**
   * Randomness for this layer and step; present while training. `seed` is an int32 scalar that changes with every step,
   * `stream` differs from layer to layer.
   */
  readonly random?: { readonly seed: Value; readonly stream: number };
  /** The output computed so far: that of the base, or of the adapters before this one. */
  previous(): Value;
  /** Whether no adapter comes before this one. Only then may a method replace the layer's product by another one. */
  readonly first: boolean;
  /**
   * How much of the update each row of x gets, float32 [rows, 1]: 0 for nothing, 1 for all of it. Rows are tokens on linear
   * layers and embeddings, images on convolutions. Absent: 1.
   */
  readonly gate?: Value;
}

export interface MergeCall<C> {
  readonly layer: Layer;
  readonly config: C;
  readonly parameters: Readonly<Record<string, Value>>;
  /** The layer's weight W, as it is stored. */
  readonly weight: Value;
}

export interface BiasMergeCall<C> extends Omit<MergeCall<C>, "weight"> {
  /** The layer's bias; undefined if it has none. */
  readonly bias: Value | undefined;
}
