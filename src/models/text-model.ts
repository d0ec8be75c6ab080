/**
 * The contract of a model of text: what it is made of, and how it writes itself into a graph. One file per `model_type`.
 *
 * A model is a body, tokens [B, T] to hidden states [B, T, D], and a head, which reads single hidden states: the next token,
 * a masked one, or the class of a text. A model does not know whether it is trained or generates: attention is called through
 * {@link Sequence.attend}, which masks, packs or caches as its caller needs.
 */
import type { Value } from "../ir/graph.ts";
import type { Layer, ParameterSpec, Tracing } from "../nn/module.ts";
import type { Rope, Rotation } from "../nn/rope.ts";
import type { ConfigSource } from "./config-source.ts";

/** What the head says of a hidden state: the token after it, the token that is masked there, or the class of the text. */
export type Task =
  | { readonly kind: "causal" }
  | { readonly kind: "masked" }
  | {
      readonly kind: "classification";
      /** Number of classes, 2 or more. */
      readonly classes: number;
    };

export const CAUSAL: Task = { kind: "causal" };

export interface TextModel {
  /** As in `config.json`. */
  readonly modelType: string;
  readonly task: Task;
  readonly parameters: readonly ParameterSpec[];
  /** In the order of the forward pass. */
  readonly layers: readonly Layer[];
  /** Names that are not stored, to the parameter whose values they have: a head that shares the embedding's table. */
  readonly tied: Readonly<Record<string, string>>;
  /** Tokens that can be read. */
  readonly vocabSize: number;
  /** Columns of what the head gives: the vocabulary, or the classes. */
  readonly outputs: number;
  /** Which hidden state tells the class of a text: the one of its first token, or of its last. Only with a task of classes. */
  readonly classToken?: "first" | "last";
  /** Names of the parameters of a head that no pretrained checkpoint has: PEFT's `modules_to_save` of SEQ_CLS. Default: none. */
  readonly newModules?: readonly string[];
  /** Modules that are drawn at random where a checkpoint lacks them. Default: none. */
  readonly drawnModules?: readonly string[];
  /** Tensors of checkpoints that belong to other heads, and are left aside. Default: none. */
  readonly otherHeads?: RegExp;
  /** Names of other heads that share a parameter's values, to that parameter: some checkpoints store it only so. Default: none. */
  readonly tiedHeads?: Readonly<Record<string, string>>;
  /** Kinds of tokens, such as those of the first and the second sentence. Absent: there is one. */
  readonly tokenTypes?: number;
  /**
   * A token that takes no position: those of the others are counted without it, from `paddingToken + 1`, and its own is
   * `paddingToken` (RoBERTa). Absent: every token of a row takes one, from 0.
   */
  readonly paddingToken?: number;
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
  /** Logits of some rows of the hidden states: [N, D] -> [N, outputs]. */
  head(tracing: Tracing, rows: Value): Value;
}

/** What a model reads. */
export interface Sequence {
  /** int32 [B, T] */
  readonly tokens: Value;
  /** int32 [B, T]: number of the example of a token, from 1 in every row; 0 for padding. Absent where rows are continued. */
  readonly segments?: Value;
  /** int32 [B, T], from 0 for the first token of an example; -1 for {@link TextModel.paddingToken}. Present for models without rotations. */
  readonly positions?: Value;
  /** int32 [B, T], from 0; present for models with {@link TextModel.tokenTypes}. */
  readonly types?: Value;
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
  /** A query sees the keys after it, too. Default: those up to its own. */
  readonly bidirectional?: boolean;
  /** Sliding window: a query sees this many positions, its own included. Absent: all up to its own. */
  readonly window?: number;
}

/** One entry of the registry. */
export interface ModelFamily {
  /** `model_type` of the configurations that it reads. */
  readonly modelType: string;
  /** Where the architecture comes from. */
  readonly source: string;
  /** What the names of transformers' classes begin with, such as `Qwen2` of `Qwen2ForSequenceClassification`. */
  readonly className: string;
  /** Names for the model's parameters under which some checkpoints store them, besides the model's own. */
  readonly storedName?: (name: string) => string;
  /** Layers that LoRA is put on when nothing is said, as in PEFT. */
  readonly defaultTargets: readonly string[];
  /** What it can be built for. */
  readonly tasks: readonly Task["kind"][];
  /** @param task one of `tasks`; default: the first. @throws ConfigError naming every setting that is missing, wrong or not supported */
  readonly build: (config: ConfigSource, task?: Task) => TextModel;
}
