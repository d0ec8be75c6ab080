/**
 * The contract of a storage of frozen weights: which tensors hold a weight, how they are made of its values and back, and
 * how a graph computes with them. One file per storage. Any tuning method works on any storage: QLoRA is `lora` on `nf4`.
 */
import type { DType, TypedArray } from "../ir/dtype.ts";
import type { Graph, Value } from "../ir/graph.ts";
import type { StoredWeight } from "../nn/stored-weight.ts";

export interface StorageOptions {
  /** The constants of blocks are stored in 8 bits too (QLoRA, arXiv 2305.14314, §3). Storages without blocks ignore it. */
  readonly doubleQuantization: boolean;
}

/** A tensor that is part of a stored weight. */
export interface StoredTensor {
  /** Name relative to the parameter's, such as `absmax`. */
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

export interface Storage {
  /** Registry name. */
  readonly name: string;
  /** Where it was published, or what it is the format of. */
  readonly source: string;
  /** In a few words, for tables. */
  readonly summary: string;
  /**
   * Which parameters are stored so: `layers`, the weights of linear layers but the one that gives the model's output; or
   * `all` parameters, where that costs next to nothing.
   */
  readonly covers: "layers" | "all";
  /** A weight is one tensor of this type and of its own shape: a checkpoint that has it so is read where it lies. */
  readonly plain?: DType;
  /** It has constants of blocks, so that double quantisation has an effect. */
  readonly hasConstants: boolean;
  /** The tensors of a weight of this shape. */
  tensors(shape: readonly number[], options: StorageOptions): readonly StoredTensor[];
  /**
   * Their contents, by name, for a weight's values, row-major.
   * @throws NumericError if a value is not finite, or too large for the storage
   */
  encode(values: Float32Array, shape: readonly number[], options: StorageOptions): Readonly<Record<string, TypedArray>>;
  /** The values that the tensors stand for: what {@link Storage.read} computes with. */
  decode(
    tensors: Readonly<Record<string, TypedArray>>,
    shape: readonly number[],
    options: StorageOptions,
  ): Float32Array;
  /** The weight in a graph. */
  read(call: StoredCall): StoredWeight;
}

export interface StoredCall {
  readonly graph: Graph;
  readonly shape: readonly number[];
  readonly options: StorageOptions;
  /** The value of one of the weight's tensors, by its relative name. */
  readonly tensor: (name: string) => Value;
}
