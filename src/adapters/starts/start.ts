/**
 * The contract of a start: what A and B are before the first step, by the names of PEFT's `init_lora_weights`. One file per
 * start. Random ones draw A and B each from a stream of its own; others make both of the layer's weight.
 */
import { type Init, kaimingUniform, normal, zeros } from "../../nn/init.ts";
import type { LinearLayer } from "../../nn/module.ts";
import type { Matrix } from "../../linear-algebra/svd.ts";
import type { Random } from "../../random.ts";
import type { LoraConfig } from "../lora.ts";
import type { JsonValue } from "../settings.ts";

export interface LoraStart {
  /** What `init` calls it, and `init_lora_weights` unless `wire` says otherwise. */
  readonly name: string;
  /** What it does, in a line, for tables. */
  readonly about: string;
  /** Names that it has besides, such as those with a number. */
  readonly also?: RegExp;
  /** What `init_lora_weights` has for it. Default: its name. */
  readonly wire?: JsonValue;
  /** How A [r, in] and B [out, r] are drawn on linear layers and convolutions. @param fanIn elements of a row of A */
  onWeight(r: number, fanIn: number): { readonly A: Init; readonly B: Init };
  /** The same on an embedding: A [r, tokens]. */
  onEmbedding(r: number): { readonly A: Init; readonly B: Init };
  /** On linear layers they are made together, or of the weight. Absent: they are drawn. */
  factors?(call: FactorsCall): Promise<StartFactors> | StartFactors;
  /** What A and B start as is taken off the base's weight, so that the layer computes what it did: s·B₀ A₀. */
  readonly takesFromBase?: true;
  /**
   * Whether the layer gets another frozen weight, that of {@link StartFactors.weight}. Absent: no.
   * @param isStored the base's is stored in fewer bits
   */
  replacesWeight?(config: LoraConfig, isStored: boolean): boolean;
  /** What is wrong with settings for this start, in words. */
  check?(config: LoraConfig): readonly string[];
}

export interface FactorsCall {
  readonly layer: LinearLayer;
  /** That of the layer. */
  readonly config: LoraConfig;
  /** s = alpha / r, or alpha / √r. */
  readonly scaling: number;
  /** W [out, in], whichever way it is stored. */
  weight(): Promise<Matrix>;
  /** W as it was before it was stored in fewer bits. @throws ConfigError if nobody knows it any more */
  original(): Promise<Matrix>;
  /** What values [out, in] are after they were stored as the base's weight is. Absent: it is stored as it is. */
  readonly stored?: (weight: Matrix) => Matrix;
  random(parameter: string): Random;
}

export interface StartFactors {
  /** [r, in] */
  readonly A: Float32Array;
  /** [out, r] */
  readonly B: Float32Array;
  /** [out, in] */
  readonly weight?: Matrix;
}

/** PEFT's default, and what starts do where they are not defined: B A is zero. */
export const DEFAULT_DRAWS: Pick<LoraStart, "onWeight" | "onEmbedding"> = {
  onWeight: (_r, fanIn) => ({ A: kaimingUniform(fanIn), B: zeros }),
  // As in PEFT.
  onEmbedding: () => ({ A: zeros, B: normal(1) }),
};
