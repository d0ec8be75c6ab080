/**
 * Maximum over axes; `keepDims` leaves them with size 1. Equal maxima share the derivative equally, as in PyTorch's
 * `amax`. The engine may overlook a NaN; the interpreter does not.
 */
import { isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { broadcastStrides, forEachIndex, sizeOfShape } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { normalizeAxis } from "../shape.ts";
import { cast } from "./cast.ts";
import { scalar } from "./constant.ts";
import { div } from "./div.ts";
import { equal } from "./equal.ts";
import { expectNotEmpty } from "./not-empty.ts";
import { type ReduceAttrs, reducedShape, reduceSum } from "./reduce-sum.ts";
import { reshape } from "./reshape.ts";
import { where } from "./where.ts";

export const reduceMaxOp: Op<ReduceAttrs> = {
  name: "reduceMax",
  infer([x], { axes, keepDims }) {
    expectNotEmpty("reduceMax", x!, axes);
    return [{ dtype: x!.dtype, shape: reducedShape(x!.shape, axes, keepDims) }];
  },
  evaluate([x], { axes }, [shape]) {
    const data = new Float64Array(sizeOfShape(shape!)).fill(-Infinity);
    const kept = x!.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
    forEachIndex(x!.shape, [broadcastStrides(kept, x!.shape)], (flat, [to]) => {
      data[to!] = Math.max(data[to!]!, x!.data[flat]!);
    });
    return [{ shape: shape!, data }];
  },
  onnx(emit, node) {
    const axes = emit.constant("int64", node.attrs.axes);
    emit.node("ReduceMax", [node.inputs[0]!, axes], { keepdims: Number(node.attrs.keepDims) }, node.outputs[0]);
  },
  vjp: ({ inputs: [x], outputs: [y], cotangents: [dy], attrs: { axes } }) => {
    const { shape, dtype } = x!.type;
    if (!isFloat(dtype)) return [undefined];
    const kept = reducedShape(shape, axes, true);
    const isMax = equal(x!, reshape(y!, kept));
    const part = div(reshape(dy!, kept), reduceSum(cast(isMax, dtype), axes, true));
    return [where(isMax, part, scalar(x!.graph, 0, dtype))];
  },
};

/** Default: all axes. @throws ShapeError if a size is 0. */
export function reduceMax(x: Value, axes: readonly number[] = x.type.shape.map((_, i) => i), keepDims = false): Value {
  const rank = x.type.shape.length;
  const normal = axes.map((axis) => normalizeAxis(axis, rank, "reduceMax"));
  return normal.length === 0 ? x : apply(reduceMaxOp, [x], { axes: normal, keepDims });
}
