/**
 * The contract of a language model: what it is made of, and how it writes itself into a graph. One file per `model_type`.
 *
 * A model does not know whether it is trained or generates: attention is called through {@link Sequence.attend}, which
 * masks, packs or caches as its caller needs.
 */
import type { Value } from "../ir/graph.ts";
import type { Layer, ParameterSpec, Tracing } from "../nn/module.ts";
import type { Rope, Rotation } from "../nn/rope.ts";
import type { ConfigSource } from "./config-source.ts";

export interface CausalLm {
  /** As in `config.json`. */
  readonly modelType: string;
  readonly parameters: readonly ParameterSpec[];
  /** In the order of the forward pass. */
  readonly layers: readonly Layer[];
  /** Names that are not stored, to the parameter whose values they have: a head that shares the embedding's table. */
  readonly tied: Readonly<Record<string, string>>;
  readonly vocabSize: number;
  /** D, the width of the hidden states. */
  readonly hiddenSize: number;
  /** Positions that the model was made for. */
  readonly maxPositions: number;
  /** Number of blocks; each calls `attend` once. */
  readonly blocks: number;
  /** Of queries in every block. */
  readonly heads?: number;
  /** Shape of what a block puts into a key/value cache, per position. */
  readonly kvHeads: number;
  readonly headDim: number;
  /** How positions become rotations. Absent: they are looked up in a table, and `positions` is read instead. */
  readonly rope?: Rope;
  /**
   * Hidden states after the last norm, what the head reads: [B, T, D].
   * @param onBlock is given the output of each block, [B, T, D]
   */
  hidden(tracing: Tracing, sequence: Sequence, onBlock?: (block: number, x: Value) => void): Value;
  /** Logits of some rows of the hidden states: [N, D] -> [N, V]. */
  head(tracing: Tracing, rows: Value): Value;
}

/** What a model reads. */
export interface Sequence {
  /** int32 [B, T] */
  readonly tokens: Value;
  /** int32 [B, T]: number of the example of a token, from 1 in every row; 0 for padding. Absent where rows are continued. */
  readonly segments?: Value;
  /** int32 [B, T]; present for models without rotations. */
  readonly positions?: Value;
  /** Present for models with rotations. */
  readonly rotation?: Rotation;
  /** What stands in for the embeddings of the tokens, [B, T, D], before positions are added. Absent: they do. */
  readonly embedded?: (x: Value) => Value;
  /** Runs `trace`, which computes a block, in the way that the caller wants: checkpointed, or just so. */
  block(trace: () => Value): Value;
  attend(call: AttentionCall): Value;
}

export interface AttentionCall {
  /** Index of the block, from 0. */
  readonly block: number;
  /** [B, H, T, Dh], rotated already. */
  readonly q: Value;
  /** [B, Hkv, T, Dh], rotated already. */
  readonly k: Value;
  /** [B, Hkv, T, Dh] */
  readonly v: Value;
  /** Sliding window: a query sees this many positions, its own included. Absent: all up to its own. */
  readonly window?: number;
}

/** One entry of the registry. */
export interface ModelFamily {
  /** `model_type` of the configurations that it reads. */
  readonly modelType: string;
  /** Where the architecture comes from. */
  readonly source: string;
  /** Names for the model's parameters under which some checkpoints store them, besides the model's own. */
  readonly storedName?: (name: string) => string;
  /** Layers that LoRA is put on when nothing is said, as in PEFT. */
  readonly defaultTargets: readonly string[];
  /** @throws ConfigError naming every setting that is missing, wrong or not supported */
  readonly build: (config: ConfigSource) => CausalLm;
}
