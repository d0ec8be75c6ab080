/**
 * y = e^(x - max) / Σ e^(x - max) along an axis. dx = y · (dy - Σ dy · y).
 *
 * -∞ becomes 0; a line of nothing but -∞ becomes NaN, as in PyTorch.
 */
import { apply, type Value } from "../graph.ts";
import { type NdArray, sizeOfShape } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { normalizeAxis } from "../shape.ts";
import { expectFloat } from "./expect-float.ts";
import { mul } from "./mul.ts";
import { reduceSum } from "./reduce-sum.ts";
import { sub } from "./sub.ts";

export type AxisAttrs = { readonly axis: number };

export const softmaxOp: Op<AxisAttrs> = {
  name: "softmax",
  infer(inputs) {
    expectFloat("softmax", inputs, 1);
    return [inputs[0]!];
  },
  evaluate: ([x], { axis }) => {
    const { shape, data } = logSoftmaxOf(x!, axis);
    return [{ shape, data: data.map(Math.exp) }];
  },
  onnx(emit, node) {
    emit.node("Softmax", node.inputs, { axis: node.attrs.axis }, node.outputs[0]);
  },
  vjp: ({ outputs: [y], cotangents: [dy], attrs: { axis } }) => [
    mul(y!, sub(dy!, reduceSum(mul(dy!, y!), [axis], true))),
  ],
};

/** Default: the last axis. */
export function softmax(x: Value, axis = -1): Value {
  return apply(softmaxOp, [x], { axis: normalizeAxis(axis, x.type.shape.length, "softmax") });
}

/** x - max - ln Σ e^(x - max) along an axis. */
export function logSoftmaxOf(x: NdArray, axis: number): NdArray {
  const size = x.shape[axis]!;
  const inner = sizeOfShape(x.shape.slice(axis + 1));
  const data = new Float64Array(x.data.length);
  for (let start = 0; start < data.length; start++) {
    if (Math.floor(start / inner) % size !== 0) continue;
    let max = -Infinity;
    for (let i = 0; i < size; i++) max = Math.max(max, x.data[start + i * inner]!);
    let sum = 0;
    for (let i = 0; i < size; i++) sum += Math.exp(x.data[start + i * inner]! - max);
    for (let i = 0; i < size; i++) data[start + i * inner] = x.data[start + i * inner]! - max - Math.log(sum);
  }
  return { shape: x.shape, data };
}
