/**
 * What adapters change about the sequence that a model reads: how tokens are embedded and attend, and the places that they
 * take before the first token of every example. The host puts placeholders there, and a feed says which they are.
 */
import { type Adapter, sharedValues } from "../adapters/adapter.ts";
import type { Value } from "../ir/graph.ts";
import { dim } from "../ir/shape.ts";
import type { TextModel, Sequence } from "../models/text-model.ts";
import type { Tracing } from "../nn/module.ts";
import { streamOf } from "../random.ts";
import { VIRTUAL } from "./sequence.ts";

/** Token at the places of virtual tokens: nothing comes of its embedding. */
export const PLACEHOLDER = 0;

/** Places that an example gives to adapters, before its first token. */
export interface VirtualTokens {
  readonly count: number;
  /** Their outputs mean something: the last one predicts the first token. */
  readonly predict: boolean;
  /** The first of them tells the class of a text, where the first token does otherwise: as in PEFT, it is the first place. */
  readonly tellsClass?: true;
}

export const NO_VIRTUAL: VirtualTokens = { count: 0, predict: false };

/** @param adapters those that are on; at most one of them has virtual tokens */
export function virtualTokens(adapters: readonly Adapter[]): VirtualTokens {
  for (const { method, config, model } of adapters) {
    const count = method.virtualTokens?.(config) ?? 0;
    if (count === 0) continue;
    const predict = method.virtualPredict === true;
    return { count, predict, ...(predict && model.classToken === "first" ? { tellsClass: true } : {}) };
  }
  return NO_VIRTUAL;
}

/**
 * The sequence as the adapters change it, one after the other.
 * @param seed int32 scalar that changes with every step. Without it nothing is random, as outside training
 */
export function adaptedSequence(
  tracing: Tracing,
  model: TextModel,
  sequence: Sequence,
  adapters: readonly Adapter[],
  seed?: Value,
): Sequence {
  return adapters.reduce((before, adapter) => {
    const { name, method, config } = adapter;
    if (method.sequence === undefined) return before;
    const hasVirtual = (method.virtualTokens?.(config) ?? 0) > 0;
    const feed = () => tracing.graph.feed(VIRTUAL, { dtype: "int32", shape: [dim("B"), dim("T")] });
    return method.sequence({
      sequence: before,
      tracing,
      model,
      config,
      shared: sharedValues(tracing, adapter),
      ...(hasVirtual ? { virtual: feed() } : {}),
      ...(seed === undefined ? {} : { random: { seed, stream: streamOf(name) } }),
    });
  }, sequence);
}
