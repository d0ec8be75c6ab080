/**
 * Scaled dot-product attention with grouped-query heads, y = softmax(q kᵀ · scale + mask) v per head, and its masks. The
 * operation is in ir/ops/attention.ts.
 */
import { ShapeError } from "../errors.ts";
import { type DType, isFloat } from "../ir/dtype.ts";
import type { Graph, Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { attention as attentionOf } from "../ir/ops/attention.ts";
import { cast } from "../ir/ops/cast.ts";
import { scalar } from "../ir/ops/constant.ts";
import { greater } from "../ir/ops/greater.ts";
import { mul } from "../ir/ops/mul.ts";
import { range } from "../ir/ops/range.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { slice } from "../ir/ops/slice.ts";
import { sub } from "../ir/ops/sub.ts";
import { dim, type Dim, type DimLike, printDim, subDim } from "../ir/shape.ts";

export interface AttentionOptions {
  /** Factor of the scores. Default: 1 / sqrt(Dh). */
  readonly scale?: number;
  /**
   * Which keys a query sees. `"causal"`: those up to its own position, see {@link causalMask}. A bool value: true where
   * the key is seen. A float value: added to the scores. Values broadcast to [B, H, T, S]. Default: all keys.
   */
  readonly mask?: Value | "causal";
}

/**
 * @param q [B, H, T, Dh]
 * @param k [B, Hkv, S, Dh], where Hkv divides H
 * @param v [B, Hkv, S, Dv]
 * @returns [B, H, T, Dv]. A query that sees no key at all gets the mean of v.
 * @throws ShapeError if the shapes do not fit
 */
export function attention(q: Value, k: Value, v: Value, options: AttentionOptions = {}): Value {
  const { mask } = options;
  const [, , tokens, width] = q.type.shape;
  const keys = k.type.shape[2];
  const bias =
    mask === "causal" && tokens !== undefined && keys !== undefined ? causalMask(q.graph, tokens, keys) : mask;
  if (bias === "causal" || bias === undefined) return attentionOf(q, k, v, scaleOf(options, width));
  const { dtype } = q.type;
  return attentionOf(q, k, v, scaleOf(options, width), isFloat(bias.type.dtype) ? bias : additiveMask(bias, dtype));
}

/**
 * bool [T, S], true where query t may see key s. The last query stands at the last key, so that the queries may be the
 * newest T of S cached positions: s <= t + S - T.
 * @throws ShapeError if there are fewer keys than queries
 */
export function causalMask(graph: Graph, queries: DimLike, keys: DimLike): Value {
  const [T, S] = [dim(queries), dim(keys)];
  const cached = subDim(S, T);
  if (cached.size !== undefined && cached.size < 0) {
    const got = `${printDim(T)} queries and ${printDim(S)} keys`;
    throw new ShapeError({ where: "causal mask", what: "more queries than keys", got });
  }
  const positions = range(graph, S);
  const limit = add(slice(positions, 0, cached), scalar(graph, 1, "int32"));
  return greater(reshape(limit, [-1, 1]), positions);
}

/** A bool mask as a number to add to scores: 0 where true, the lowest finite number where false. */
export function additiveMask(mask: Value, dtype: DType = "float32"): Value {
  // Finite, so that a row without a true element has no 0 · ∞ in it.
  const largest = dtype === "float16" ? 65504 : 3.3895e38;
  return mul(sub(cast(mask, dtype), scalar(mask.graph, 1, dtype)), scalar(mask.graph, largest, dtype));
}

function scaleOf({ scale }: AttentionOptions, width: Dim | undefined): number {
  if (scale !== undefined) return scale;
  // Without a fourth axis the operation refuses the queries.
  const size = width === undefined ? 1 : width.size;
  if (size !== undefined) return 1 / Math.sqrt(size);
  throw new ShapeError({
    where: "attention",
    what: "the head width must be known when the graph is traced",
    got: width?.name,
  });
}
