/** Sum over axes; `keepDims` leaves them with size 1. */
import { apply, type Value } from "../graph.ts";
import { broadcastStrides, forEachIndex, sizeOfShape } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { dim, normalizeAxis, type Shape } from "../shape.ts";
import { expand } from "./expand.ts";
import { reshape } from "./reshape.ts";

export type ReduceAttrs = { readonly axes: readonly number[]; readonly keepDims: boolean };

export const reduceSumOp: Op<ReduceAttrs> = {
  name: "reduceSum",
  infer: ([x], { axes, keepDims }) => [{ dtype: x!.dtype, shape: reducedShape(x!.shape, axes, keepDims) }],
  evaluate([x], { axes }, [shape]) {
    const data = new Float64Array(sizeOfShape(shape!));
    const kept = x!.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
    forEachIndex(x!.shape, [broadcastStrides(kept, x!.shape)], (flat, [to]) => {
      data[to!]! += x!.data[flat]!;
    });
    return [{ shape: shape!, data }];
  },
  onnx(emit, node) {
    const axes = emit.constant("int64", node.attrs.axes);
    emit.node("ReduceSum", [node.inputs[0]!, axes], { keepdims: Number(node.attrs.keepDims) }, node.outputs[0]);
  },
  vjp: ({ inputs: [x], cotangents: [dy], attrs: { axes } }) => [
    expand(reshape(dy!, reducedShape(x!.type.shape, axes, true)), x!.type.shape),
  ],
};

/** Default: all axes. */
export function reduceSum(x: Value, axes: readonly number[] = x.type.shape.map((_, i) => i), keepDims = false): Value {
  const rank = x.type.shape.length;
  const normal = axes.map((axis) => normalizeAxis(axis, rank, "reduceSum"));
  return normal.length === 0 ? x : apply(reduceSumOp, [x], { axes: normal, keepDims });
}

export function reducedShape(shape: Shape, axes: readonly number[], keepDims: boolean): Shape {
  return keepDims ? shape.map((d, i) => (axes.includes(i) ? dim(1) : d)) : shape.filter((_, i) => !axes.includes(i));
}
