/**
 * Whole sequences: what a model is fed when nothing is cached. Rows of different lengths are padded, and a row may hold
 * several examples: tokens attend within their own example only.
 */
import type { Graph, Value } from "../ir/graph.ts";
import { cast } from "../ir/ops/cast.ts";
import { equal } from "../ir/ops/equal.ts";
import { greater } from "../ir/ops/greater.ts";
import { mul } from "../ir/ops/mul.ts";
import { reduceMax } from "../ir/ops/reduce-max.ts";
import { less } from "../ir/ops/less.ts";
import { range } from "../ir/ops/range.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { scalar } from "../ir/ops/constant.ts";
import { sub } from "../ir/ops/sub.ts";
import { where } from "../ir/ops/where.ts";
import { dim } from "../ir/shape.ts";
import type { AttentionCall, Sequence, TextModel } from "../models/text-model.ts";
import { additiveMask, attention, causalMask } from "../nn/attention.ts";
import { rotationTables } from "../nn/rope.ts";
import type { Feeds } from "../runtime/runtime.ts";

/** Names of the feeds. */
export const TOKENS = "tokens";
export const SEGMENTS = "segments";
export const POSITIONS = "positions";
export const COS = "rotation/cos";
export const SIN = "rotation/sin";
export const TYPES = "types";
/** int32 [B, T]: i for the i-th virtual token of an example, from 1; 0 for tokens and padding. */
export const VIRTUAL = "virtual";

export interface SequenceOptions {
  /** Blocks keep their inputs only, and are computed again for the backward pass. Default: false. */
  readonly checkpoint?: boolean;
  /** Padding that sees nothing attends to nothing, as in transformers, and not to everything. Default: false. */
  readonly exactPadding?: boolean;
}

/** Adds the feeds of whole sequences [B, T] to a graph. */
export function wholeSequence(
  graph: Graph,
  model: TextModel,
  { checkpoint = false, exactPadding = false }: SequenceOptions = {},
): Sequence {
  const [B, T] = [dim("B"), dim("T")];
  const tokens = graph.feed(TOKENS, { dtype: "int32", shape: [B, T] });
  const segments = graph.feed(SEGMENTS, { dtype: "int32", shape: [B, T] });
  const [ofQuery, ofKey] = [reshape(segments, [B, 1, T, 1]), reshape(segments, [B, 1, 1, T])];
  const padding = scalar(graph, 0, "int32");
  // What padding sees matters to nobody; as in transformers it is every token before it.
  const together = where(equal(ofQuery, padding), greater(ofKey, padding), equal(ofQuery, ofKey)); // [B, 1, T, T]
  const masks = new Map<string, { mask: Value; seesAny: Value | undefined }>();
  const maskOf = ({ window, bidirectional = false }: Pick<AttentionCall, "window" | "bidirectional">) => {
    const key = `${window} ${bidirectional}`;
    const known = masks.get(key);
    if (known !== undefined) return known;
    const seen = bidirectional ? together : both(earlier(graph, window), together); // [B, 1, T, T]
    const seesAny = exactPadding ? reduceMax(cast(seen, "float32"), [3], true) : undefined; // [B, 1, T, 1]
    const made = { mask: additiveMask(seen), seesAny };
    masks.set(key, made);
    return made;
  };
  return {
    tokens,
    segments,
    ...positionFeeds(graph, model),
    ...(model.tokenTypes === undefined ? {} : { types: graph.feed(TYPES, { dtype: "int32", shape: [B, T] }) }),
    block: (trace) => (checkpoint ? graph.checkpoint(trace) : trace()),
    attend({ q, k, v, ...sight }) {
      const { mask, seesAny } = maskOf(sight);
      const y = attention(q, k, v, { mask });
      return seesAny === undefined ? y : mul(y, seesAny);
    },
  };
}

/** bool [T, T]: whether key s is at most at query t, and not before its window. */
function earlier(graph: Graph, window: number | undefined): Value {
  const causal = causalMask(graph, dim("T"), dim("T"));
  return window === undefined ? causal : both(causal, withinWindow(graph, window));
}

/** bool [T, T]: whether key s is less than `window` positions before query t. */
function withinWindow(graph: Graph, window: number): Value {
  const positions = range(graph, dim("T"));
  return less(sub(reshape(positions, [-1, 1]), positions), scalar(graph, window, "int32"));
}

function both(x: Value, y: Value): Value {
  return where(x, y, scalar(x.graph, 0, "bool"));
}

/** The feeds that tell a model where its tokens stand. */
export function positionFeeds(graph: Graph, { rope }: TextModel): Pick<Sequence, "positions" | "rotation"> {
  const [B, T] = [dim("B"), dim("T")];
  if (rope === undefined) return { positions: graph.feed(POSITIONS, { dtype: "int32", shape: [B, T] }) };
  const shape = [B, dim(1), T, dim(rope.headDim / 2)];
  return {
    rotation: {
      cos: graph.feed(COS, { dtype: "float32", shape }),
      sin: graph.feed(SIN, { dtype: "float32", shape }),
    },
  };
}

/** Rows [B, T], padded to one length. */
export interface Rows {
  readonly batch: number;
  readonly length: number;
  /** [B · T] */
  readonly tokens: Int32Array;
  /** [B · T] Number of the example that a token belongs to, from 1 in every row; 0 is padding. */
  readonly segments: Int32Array;
  /** [B · T] */
  readonly positions: Int32Array;
  /** [B · T] Kind of each token, from 0. Default: all 0. */
  readonly types?: Int32Array;
  /** [B · T] i for the i-th virtual token of an example, from 1, and 0 for tokens; present if adapters have such. */
  readonly virtual?: Int32Array;
}

/** What {@link wholeSequence} and {@link positionFeeds} ask for. */
export function sequenceFeeds(model: TextModel, rows: Rows): Feeds {
  const { batch, length, tokens, segments, virtual, types = new Int32Array(batch * length) } = rows;
  const shape = [batch, length];
  return {
    [TOKENS]: { dtype: "int32", shape, data: tokens },
    [SEGMENTS]: { dtype: "int32", shape, data: segments },
    ...(model.tokenTypes === undefined ? {} : { [TYPES]: { dtype: "int32", shape, data: types } }),
    ...(virtual === undefined ? {} : { [VIRTUAL]: { dtype: "int32", shape, data: virtual } }),
    ...positionTensors(model, rows),
  };
}

/** What {@link positionFeeds} asks for. */
export function positionTensors(
  { rope }: TextModel,
  { batch, length, positions }: Pick<Rows, "batch" | "length" | "positions">,
): Feeds {
  if (rope === undefined) return { [POSITIONS]: { dtype: "int32", shape: [batch, length], data: positions } };
  const { cos, sin } = rotationTables(rope, positions);
  const shape = [batch, 1, length, rope.headDim / 2];
  return { [COS]: { dtype: "float32", shape, data: cos }, [SIN]: { dtype: "float32", shape, data: sin } };
}
