/** Mean over axes; `keepDims` leaves them with size 1. */
import { apply, type Value } from "../graph.ts";
import { sizeOfShape } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { normalizeAxis } from "../shape.ts";
import { affine } from "./affine.ts";
import { sizeValue } from "./dim-size.ts";
import { div } from "./div.ts";
import { expand } from "./expand.ts";
import { type ReduceAttrs, reducedShape, reduceSumOp } from "./reduce-sum.ts";
import { reshape } from "./reshape.ts";
import { expectNotEmpty } from "./not-empty.ts";

export const reduceMeanOp: Op<ReduceAttrs> = {
  name: "reduceMean",
  infer([x], { axes, keepDims }) {
    expectNotEmpty("reduceMean", x!, axes);
    return [{ dtype: x!.dtype, shape: reducedShape(x!.shape, axes, keepDims) }];
  },
  evaluate(inputs, attrs, shapes) {
    const count = sizeOfShape(attrs.axes.map((axis) => inputs[0]!.shape[axis]!));
    return reduceSumOp
      .evaluate(inputs, attrs, shapes)
      .map(({ shape, data }) => ({ shape, data: data.map((sum) => sum / count) }));
  },
  onnx(emit, node) {
    const axes = emit.constant("int64", node.attrs.axes);
    emit.node("ReduceMean", [node.inputs[0]!, axes], { keepdims: Number(node.attrs.keepDims) }, node.outputs[0]);
  },
  vjp: ({ inputs: [x], cotangents: [dy], attrs: { axes } }) => {
    const { shape, dtype } = x!.type;
    const dims = axes.map((axis) => shape[axis]!);
    const count = dims.reduce((product, d) => product * (d.size ?? NaN), 1);
    const part = Number.isNaN(count) ? div(dy!, sizeValue(dy!.graph, dims, dtype)) : affine(dy!, 1 / count);
    return [expand(reshape(part, reducedShape(shape, axes, true)), shape)];
  },
};

/** Default: all axes. @throws ShapeError if a size is 0. */
export function reduceMean(x: Value, axes: readonly number[] = x.type.shape.map((_, i) => i), keepDims = false): Value {
  const rank = x.type.shape.length;
  const normal = axes.map((axis) => normalizeAxis(axis, rank, "reduceMean"));
  return normal.length === 0 ? x : apply(reduceMeanOp, [x], { axes: normal, keepDims });
}
