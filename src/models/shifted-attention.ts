/**
 * Shifted sparse attention, S²-Attn: while training, tokens attend within groups of G consecutive ones, so that the work for
 * the scores of N tokens falls from N² to N·G. Half of the heads have the groups [0, G), [G, 2G), …; the others have them
 * shifted by half a group, so that neighbouring groups exchange what they know. Source: Chen et al. 2023, arXiv 2309.12307,
 * §3.2.
 *
 * The shifted heads attend in [0, G/2), [G/2, 3G/2), …, [N − G/2, N), as in the authors' code for packed sequences (appendix
 * B.3): rolled as in the paper's listing, the last group would join the end of the sequence with its beginning, and the first
 * tokens would see the last ones. Here the two halves of that group are computed together and do not see each other.
 *
 * Sizes are known when the graph runs: N is the length of the rows, rounded up to whole groups with even G. What is added at
 * the end is seen by nobody. Examples that are packed into a row see themselves only, as elsewhere.
 *
 * [B, H, N, Dh] is computed as [B · groups, H, G, Dh]: nothing has N² elements.
 */
import { ConfigError } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { concat } from "../ir/ops/concat.ts";
import { scalar } from "../ir/ops/constant.ts";
import { equal } from "../ir/ops/equal.ts";
import { expand } from "../ir/ops/expand.ts";
import { greater } from "../ir/ops/greater.ts";
import { less } from "../ir/ops/less.ts";
import { pad } from "../ir/ops/pad.ts";
import { range } from "../ir/ops/range.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { slice } from "../ir/ops/slice.ts";
import { sub } from "../ir/ops/sub.ts";
import { transpose } from "../ir/ops/transpose.ts";
import { where } from "../ir/ops/where.ts";
import { ceilDim, dim, type Dim, mulDim, sameDim, subDim } from "../ir/shape.ts";
import { additiveMask, attention } from "../nn/attention.ts";
import type { AttentionCall, Sequence } from "./text-model.ts";

/** How a row of T tokens is cut. */
interface Cut {
  readonly groups: number;
  /** T */
  readonly tokens: Dim;
  /** G / 2 */
  readonly half: Dim;
  /** G */
  readonly group: Dim;
  /** N = groups · G >= T */
  readonly padded: Dim;
}

/**
 * The sequence with shifted sparse attention in the place of attention to all tokens.
 * @param groups number of groups of a row; the paper's is 4
 * @throws ConfigError if rows are continued from a cache
 */
export function shiftedSequence(sequence: Sequence, groups: number): Sequence {
  const { segments } = sequence;
  if (segments === undefined) {
    throw new ConfigError({ where: "shift_attn", what: "attention in groups needs whole sequences" });
  }
  const cut = cutOf(segments.type.shape[1]!, groups);
  const masks = new Map<string, Value>();
  const maskOf = (shifted: boolean, window: number | undefined) => {
    const key = `${shifted}/${window ?? ""}`;
    const mask = masks.get(key) ?? groupMask(segments, cut, shifted, window);
    masks.set(key, mask);
    return mask;
  };
  return {
    ...sequence,
    attend(call) {
      if (call.bidirectional === true) {
        throw new ConfigError({
          where: "shift_attn",
          what: "attention in shifted groups is for models that predict the next token",
          hint: "leave it out: encoders see tokens on both sides",
        });
      }
      return attendInGroups(call, cut, (shifted) => maskOf(shifted, call.window));
    },
  };
}

function cutOf(tokens: Dim, groups: number): Cut {
  const half = ceilDim(tokens, 2 * groups);
  return { groups, tokens, half, group: mulDim(dim(2), half), padded: mulDim(dim(2 * groups), half) };
}

function attendInGroups({ q, k, v }: AttentionCall, cut: Cut, maskOf: (shifted: boolean) => Value): Value {
  const heads = q.type.shape[1]!.size!;
  const straight = Math.floor(heads / 2);
  const [keys, values] = [k, v].map((x) => splittable(x, heads, straight));
  const perKey = heads / keys!.type.shape[1]!.size!;
  const part = (shifted: boolean): Value[] => {
    const [from, to] = shifted ? [straight, heads] : [0, straight];
    if (from === to) return [];
    const grouped = (x: Value, sharing: number) => intoGroups(slice(x, 1, from / sharing, to / sharing), cut, shifted);
    const y = attention(grouped(q, 1), grouped(keys!, perKey), grouped(values!, perKey), { mask: maskOf(shifted) });
    return [fromGroups(y, q.type.shape[0]!, cut, shifted)];
  };
  return concat([...part(false), ...part(true)], 1);
}

/** Keys or values whose heads divide between the two halves of the query heads: repeated where they do not. */
function splittable(x: Value, heads: number, straight: number): Value {
  const [batch, kvHeads, tokens, width] = x.type.shape as [Dim, Dim, Dim, Dim];
  const sharing = heads / kvHeads.size!;
  if (straight % sharing === 0) return x;
  const repeated = expand(reshape(x, [batch, kvHeads, 1, tokens, width]), [
    batch,
    kvHeads,
    dim(sharing),
    tokens,
    width,
  ]);
  return reshape(repeated, [batch, heads, tokens, width]);
}

/** [B, H, T, Dh] -> [B · groups, H, G, Dh] */
function intoGroups(x: Value, cut: Cut, shifted: boolean): Value {
  const [batch, heads, , width] = x.type.shape as [Dim, Dim, Dim, Dim];
  const rows = rolled(filled(x, 2, cut), 2, cut, shifted); // [B, H, N, Dh]
  const split = transpose(reshape(rows, [batch, heads, cut.groups, cut.group, width]), [0, 2, 1, 3, 4]);
  return reshape(split, [mulDim(batch, dim(cut.groups)), heads, cut.group, width]);
}

/** [B · groups, H, G, Dh] -> [B, H, T, Dh] */
function fromGroups(y: Value, batch: Dim, cut: Cut, shifted: boolean): Value {
  const { groups, group, padded, half, tokens } = cut;
  const [, heads, , width] = y.type.shape as [Dim, Dim, Dim, Dim];
  const joined = transpose(reshape(y, [batch, groups, heads, group, width]), [0, 2, 1, 3, 4]);
  const rows = reshape(joined, [batch, heads, padded, width]);
  const back = shifted
    ? concat([slice(rows, 2, subDim(padded, half)), slice(rows, 2, 0, subDim(padded, half))], 2)
    : rows;
  return sameDim(padded, tokens) ? back : slice(back, 2, 0, tokens);
}

/** x with zeros up to N. */
function filled(x: Value, axis: number, { padded, tokens }: Cut): Value {
  return sameDim(padded, tokens) ? x : pad(x, axis, 0, subDim(padded, tokens));
}

/** Half a group to the left, the first half group to the end. */
function rolled(x: Value, axis: number, { half }: Cut, shifted: boolean): Value {
  return shifted ? concat([slice(x, axis, half), slice(x, axis, 0, half)], axis) : x;
}

/** What is added to scores: [B · groups, 1, G, G]. */
function groupMask(segments: Value, cut: Cut, shifted: boolean, window: number | undefined): Value {
  const { graph } = segments;
  const { groups, group, padded, half } = cut;
  const batch = segments.type.shape[0]!;
  const [one, padding] = [scalar(graph, 1, "int32"), scalar(graph, 0, "int32")];
  const pairs = (x: Value, lead: readonly Dim[]) =>
    [reshape(x, [...lead, groups, group, 1]), reshape(x, [...lead, groups, 1, group])] as const; // query, key

  const positions = rolled(range(graph, padded), 0, cut, shifted); // [N]
  const [query, key] = pairs(positions, []);
  let near = greater(add(query, one), key); // [groups, G, G]
  if (window !== undefined) near = both(near, less(sub(query, key), scalar(graph, window, "int32")));
  if (shifted) {
    // 1 for the beginning of the row, which stands at the end of the last group.
    const runs = concat([expand(padding, [subDim(padded, half)]), expand(one, [half])], 0);
    near = both(near, equal(...pairs(runs, [])));
  }
  const examples = rolled(filled(segments, 1, cut), 1, cut, shifted); // [B, N]
  const [ofQuery, ofKey] = pairs(examples, [batch]);
  // What padding sees matters to nobody.
  const together = where(equal(ofQuery, padding), greater(ofKey, padding), equal(ofQuery, ofKey));
  const seen = both(near, together); // [B, groups, G, G]
  return additiveMask(reshape(seen, [mulDim(batch, dim(groups)), 1, group, group]));
}

function both(x: Value, y: Value): Value {
  return where(x, y, scalar(x.graph, 0, "bool"));
}
