/**
 * Position of the maximum along an axis, int64; the first one of equal maxima. Which position is given where the axis
 * holds a NaN is not defined.
 */
import { apply, type Value } from "../graph.ts";
import { sizeOfShape } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { normalizeAxis } from "../shape.ts";
import { expectNotEmpty } from "./not-empty.ts";
import { reducedShape } from "./reduce-sum.ts";

type ArgMaxAttrs = { readonly axis: number; readonly keepDims: boolean };

export const argMaxOp: Op<ArgMaxAttrs> = {
  name: "argMax",
  infer([x], { axis, keepDims }) {
    expectNotEmpty("argMax", x!, [axis]);
    return [{ dtype: "int64", shape: reducedShape(x!.shape, [axis], keepDims) }];
  },
  evaluate([x], { axis }, [shape]) {
    const size = x!.shape[axis]!;
    const inner = sizeOfShape(x!.shape.slice(axis + 1));
    const data = new Float64Array(sizeOfShape(shape!));
    data.forEach((_, flat) => {
      const start = Math.floor(flat / inner) * size * inner + (flat % inner);
      let best = 0;
      for (let i = 1; i < size; i++) if (x!.data[start + i * inner]! > x!.data[start + best * inner]!) best = i;
      data[flat] = best;
    });
    return [{ shape: shape!, data }];
  },
  onnx(emit, node) {
    const { axis, keepDims } = node.attrs;
    emit.node("ArgMax", node.inputs, { axis, keepdims: Number(keepDims) }, node.outputs[0]);
  },
  vjp: "zero",
};

/** @throws ShapeError if the axis has size 0 */
export function argMax(x: Value, axis = -1, keepDims = false): Value {
  return apply(argMaxOp, [x], { axis: normalizeAxis(axis, x.type.shape.length, "argMax"), keepDims });
}
