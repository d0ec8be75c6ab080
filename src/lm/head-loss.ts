/**
 * Loss of the rows that are trained on: they are gathered before the vocabulary head, and the head is computed in chunks,
 * so that no more than one chunk's logits exist at a time.
 *
 * The derivative of a chunk is computed right after its loss, and the next chunk waits for it: nothing of the size of the
 * logits is kept for a backward pass. So this returns the derivatives with the loss.
 */
import { grad } from "../ir/grad.ts";
import { type Graph, reachable, type Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { after } from "../ir/ops/after.ts";
import { concat } from "../ir/ops/concat.ts";
import { scalar } from "../ir/ops/constant.ts";
import { gather } from "../ir/ops/gather.ts";
import { mul } from "../ir/ops/mul.ts";
import { reduceSum } from "../ir/ops/reduce-sum.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { scatterAdd } from "../ir/ops/scatter-add.ts";
import { softmaxCrossEntropy } from "../ir/ops/softmax-cross-entropy.ts";
import { dim } from "../ir/shape.ts";
import type { TextModel } from "../models/text-model.ts";
import type { Tracing } from "../nn/module.ts";

/** Names of the feeds: int32 [chunks, C] each, and a scalar. */
export const ROWS = "supervised/rows";
export const LABELS = "supervised/labels";
/** What the loss of every row is multiplied by: 1 / the number of supervised tokens of the whole step. */
export const LOSS_WEIGHT = "supervised/weight";

export interface HeadLoss {
  /** Sum over the rows of −ln p(label), times the weight; a scalar. */
  readonly loss: Value;
  /** Derivatives of the loss, for `hidden` and those of `wanted` that the head depends on. */
  readonly gradients: ReadonlyMap<Value, Value>;
}

/**
 * @param hidden [B, T, D]
 * @param wanted values whose derivatives are asked for
 * @param chunks the number of chunks, at least 1
 */
export function headLoss(
  tracing: Tracing,
  model: TextModel,
  hidden: Value,
  wanted: readonly Value[],
  chunks: number,
): HeadLoss {
  const { graph } = tracing;
  const C = dim("C");
  const rows = graph.feed(ROWS, { dtype: "int32", shape: [dim(chunks), C] });
  const labels = graph.feed(LABELS, { dtype: "int32", shape: [dim(chunks), C] });
  const weight = graph.feed(LOSS_WEIGHT, { dtype: "float32", shape: [] });
  const flat = reshape(hidden, [-1, model.hiddenSize]); // [B · T, D]
  const losses: Value[] = [];
  const dRows: Value[] = [];
  const sums = new Map<Value, Value>();
  for (let i = 0; i < chunks; i++) {
    const chunk = (x: Value) => reshape(gather(x, indexOf(tracing, i)), [C]);
    const gathered = gather(flat, chunk(rows)); // [C, D]
    const previous = dRows.at(-1);
    const h = previous === undefined ? gathered : after(gathered, previous);
    const logits = model.head(tracing, h); // [C, V]
    const loss = mul(reduceSum(softmaxCrossEntropy(logits, chunk(labels))), weight);
    losses.push(loss);
    const found = [h, ...inputsOf(loss, h, wanted)];
    const [dh, ...others] = grad(loss, found, undefined, [h]);
    dRows.push(dh!);
    found.slice(1).forEach((value, k) => {
      const sum = sums.get(value);
      sums.set(value, sum === undefined ? others[k]! : add(sum, others[k]!));
    });
  }
  const dFlat = scatterAdd(concat(dRows, 0), reshape(rows, [-1]), flat.type.shape);
  sums.set(hidden, reshape(dFlat, hidden.type.shape));
  return { loss: losses.reduce(add), gradients: sums };
}

function indexOf({ graph }: Tracing, i: number): Value {
  return scalar(graph, i, "int32");
}

/**
 * The loss alone: mean of −ln p(label) over the rows that are not ignored; a scalar. Feeds as for
 * {@link headLoss}, with a weight of 1 / the number of rows.
 * @param tracingOf tracing for the head on the given rows, int32 [C]
 */
export function meanLoss(
  graph: Graph,
  model: TextModel,
  hidden: Value,
  chunks: number,
  tracingOf: (rows: Value) => Tracing,
): Value {
  const C = dim("C");
  const rows = graph.feed(ROWS, { dtype: "int32", shape: [dim(chunks), C] });
  const labels = graph.feed(LABELS, { dtype: "int32", shape: [dim(chunks), C] });
  const weight = graph.feed(LOSS_WEIGHT, { dtype: "float32", shape: [] });
  const flat = reshape(hidden, [-1, model.hiddenSize]);
  const losses: Value[] = [];
  for (let i = 0; i < chunks; i++) {
    const chunk = (x: Value) => reshape(gather(x, scalar(graph, i, "int32")), [C]);
    const gathered = gather(flat, chunk(rows));
    const previous = losses.at(-1);
    const h = previous === undefined ? gathered : after(gathered, previous);
    losses.push(reduceSum(softmaxCrossEntropy(model.head(tracingOf(chunk(rows)), h), chunk(labels))));
  }
  return mul(losses.reduce(add), weight);
}

/** Those of `wanted` that the head itself reads. */
function inputsOf(loss: Value, h: Value, wanted: readonly Value[]): Value[] {
  const read = new Set(reachable(loss.graph, [loss], [h]).flatMap(({ inputs }) => inputs));
  return wanted.filter((value) => read.has(value));
}
