/**
 * Scaled dot-product attention (Vaswani et al. 2017, arXiv 1706.03762, §3.2.1), with grouped-query heads (Ainslie et al.
 * 2023, arXiv 2305.13245): y = softmax(q kᵀ · scale + mask) v, per head.
 *
 * Query heads that share a key head are stacked along the tokens, [B, Hkv, H/Hkv · T, Dh]: keys and values are neither
 * repeated in the forward pass nor summed over heads in the backward pass.
 */
import { ShapeError } from "../errors.ts";
import { type DType, isFloat } from "../ir/dtype.ts";
import type { Graph, Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { cast } from "../ir/ops/cast.ts";
import { scalar } from "../ir/ops/constant.ts";
import { greater } from "../ir/ops/greater.ts";
import { matmul } from "../ir/ops/matmul.ts";
import { mul } from "../ir/ops/mul.ts";
import { range } from "../ir/ops/range.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { slice } from "../ir/ops/slice.ts";
import { softmax } from "../ir/ops/softmax.ts";
import { sub } from "../ir/ops/sub.ts";
import { dim, type Dim, type DimLike, mulDim, printDim, printShape, sameDim, subDim } from "../ir/shape.ts";

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
  const groups = headGroups(q, k, v);
  const [batch, heads, tokens, width] = q.type.shape as [Dim, Dim, Dim, Dim];
  const [, kvHeads, keys] = k.type.shape as [Dim, Dim, Dim, Dim];
  const dtype = q.type.dtype;
  const { mask, scale = 1 / Math.sqrt(headWidth(width)) } = options;

  const rows = mulDim(dim(groups), tokens);
  const scaled = mul(q, scalar(q.graph, scale, dtype));
  const stacked = reshape(scaled, [batch, kvHeads, rows, width]);
  const scores = reshape(matmul(stacked, k, { transB: true }), [batch, heads, tokens, keys]);
  const bias = mask === "causal" ? causalMask(q.graph, tokens, keys) : mask;
  const masked = bias === undefined ? scores : add(scores, isFloat(bias.type.dtype) ? bias : additiveMask(bias, dtype));
  const weights = reshape(softmax(masked, -1), [batch, kvHeads, rows, keys]);
  return reshape(matmul(weights, v), [batch, heads, tokens, v.type.shape[3]!]);
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

/** H / Hkv. @throws ShapeError */
function headGroups(q: Value, k: Value, v: Value): number {
  const where = "attention";
  for (const [name, value] of Object.entries({ q, k, v })) {
    if (value.type.shape.length !== 4) {
      const got = printShape(value.type.shape);
      throw new ShapeError({
        where,
        what: `${name} needs 4 axes`,
        got,
        expected: "[batch, heads, tokens, head width]",
      });
    }
  }
  if (!sameDim(k.type.shape[1]!, v.type.shape[1]!) || !sameDim(k.type.shape[2]!, v.type.shape[2]!)) {
    const got = `${printShape(k.type.shape)} and ${printShape(v.type.shape)}`;
    throw new ShapeError({ where, what: "keys and values differ in heads or tokens", got });
  }
  const [heads, kvHeads] = [q.type.shape[1]!.size, k.type.shape[1]!.size];
  if (heads === undefined || kvHeads === undefined || kvHeads === 0 || heads % kvHeads !== 0) {
    throw new ShapeError({
      where,
      what: "query heads do not divide among the key and value heads",
      got: `${printDim(q.type.shape[1]!)} and ${printDim(k.type.shape[1]!)}`,
      expected: "a multiple",
    });
  }
  return heads / kvHeads;
}

function headWidth({ size, name }: Dim): number {
  if (size === undefined) {
    throw new ShapeError({
      where: "attention",
      what: "the head width must be known when the graph is traced",
      got: name,
    });
  }
  return size;
}
