/** x with `before` and `after` elements of one value added at the ends of an axis. */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import { forEachIndex, sizeOfShape, stridesOf } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { addDim, dim, type Dim, type DimLike, normalizeAxis, printDim, printShape } from "../shape.ts";
import { slice } from "./slice.ts";

export type PadAttrs = { readonly axis: number; readonly before: Dim; readonly after: Dim; readonly value: number };

export const padOp: Op<PadAttrs> = {
  name: "pad",
  infer([x], { axis, before, after }) {
    if ([before, after].some((d) => d.size !== undefined && d.size < 0)) {
      throw new ShapeError({
        where: "pad",
        what: `cannot add fewer than 0 elements to axis ${axis} of ${printShape(x!.shape)}`,
        got: `${printDim(before)} before and ${printDim(after)} after`,
      });
    }
    return [{ dtype: x!.dtype, shape: x!.shape.with(axis, addDim(addDim(before, x!.shape[axis]!), after)) }];
  },
  evaluate([x], { axis, before, after, value }, [shape]) {
    const strides = stridesOf(shape!);
    const first = before.size ?? shape![axis]! - x!.shape[axis]! - after.size!;
    const data = new Float64Array(sizeOfShape(shape!)).fill(value);
    forEachIndex(x!.shape, [strides], (flat, [to]) => {
      data[first * strides[axis]! + to!] = x!.data[flat]!;
    });
    return [{ shape: shape!, data }];
  },
  onnx(emit, node) {
    const { axis, before, after, value } = node.attrs;
    const { dtype, shape } = node.inputTypes[0]!;
    const none = shape.map(() => dim(0));
    const pads = emit.shape([...none.with(axis, before), ...none.with(axis, after)]);
    emit.node("Pad", [node.inputs[0]!, pads, emit.constant(dtype, value)], { mode: "constant" }, node.outputs[0]);
  },
  vjp: ({ inputs: [x], cotangents: [dy], attrs: { axis, before } }) => [
    slice(dy!, axis, before, addDim(before, x!.type.shape[axis]!)),
  ],
};

/** `x` itself if nothing is added. @param value what is added; default 0. @throws ShapeError for negative counts */
export function pad(x: Value, axis: number, before: DimLike, after: DimLike, value = 0): Value {
  const at = normalizeAxis(axis, x.type.shape.length, "pad");
  const [left, right] = [dim(before), dim(after)];
  if (left.size === 0 && right.size === 0) return x;
  // Where the elements of x lie must follow from the sizes of x and of the result.
  if (left.size === undefined && right.size === undefined) return pad(pad(x, at, left, 0, value), at, 0, right, value);
  return apply(padOp, [x], { axis: at, before: left, after: right, value });
}
