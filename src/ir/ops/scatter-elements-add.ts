/**
 * Zeros of a given shape, plus one element added per index: the adjoint of gatherElements. Elements that meet at one
 * position add up.
 *
 * Shapes: updates and indices [..., k, ...], result [..., n, ...].
 */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import { forEachIndex, sizeOfShape, stridesOf } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { normalizeAxis, printShape, sameShape, type Shape } from "../shape.ts";
import { expectArity } from "./elementwise.ts";
import { gatherElements } from "./gather-elements.ts";
import { checkIndex, expectIndices } from "./indices.ts";

type ScatterElementsAddAttrs = { readonly shape: Shape; readonly axis: number };

export const scatterElementsAddOp: Op<ScatterElementsAddAttrs> = {
  name: "scatterElementsAdd",
  infer(inputs, { shape, axis }) {
    expectArity("scatterElementsAdd", inputs, 2);
    const [updates, indices] = inputs;
    expectIndices("scatterElementsAdd", indices!);
    const fits = indices!.shape.length === shape.length && sameShape(updates!.shape, indices!.shape);
    if (!fits || !sameShape(shape.with(axis, indices!.shape[axis]!), indices!.shape)) {
      throw new ShapeError({
        where: "scatterElementsAdd",
        what: `updates and indices must be shaped alike, and like ${printShape(shape)} but for axis ${axis}`,
        got: `${printShape(updates!.shape)} and ${printShape(indices!.shape)}`,
      });
    }
    return [{ dtype: updates!.dtype, shape }];
  },
  evaluate([updates, indices], { axis }, [shape]) {
    const strides = stridesOf(shape!);
    const data = new Float64Array(sizeOfShape(shape!));
    forEachIndex(updates!.shape, [strides.with(axis, 0)], (flat, [to]) => {
      const index = checkIndex("scatterElementsAdd", indices!.data[flat]!, shape![axis]!);
      data[to! + index * strides[axis]!]! += updates!.data[flat]!;
    });
    return [{ shape: shape!, data }];
  },
  onnx(emit, node) {
    const { shape, axis } = node.attrs;
    const [updates, indices] = node.inputs;
    const zeros = emit.node("Expand", [emit.constant(node.outputTypes[0]!.dtype, 0), emit.shape(shape)]);
    emit.node("ScatterElements", [zeros, indices!, updates!], { axis, reduction: "add" }, node.outputs[0]);
  },
  vjp: ({ inputs: [, indices], cotangents: [dy], attrs: { axis } }) => [gatherElements(dy!, indices!, axis), undefined],
};

/** @param indices int32 or int64, each from 0 to n - 1 @throws ShapeError if the shapes do not fit */
export function scatterElementsAdd(updates: Value, indices: Value, shape: Shape, axis: number): Value {
  const at = normalizeAxis(axis, shape.length, "scatterElementsAdd");
  return apply(scatterElementsAddOp, [updates, indices], { shape, axis: at });
}
