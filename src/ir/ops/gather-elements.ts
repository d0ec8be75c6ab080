/**
 * One element of x per index: result[i, j] = x[indices[i, j], j] for axis 0, and alike for others.
 *
 * Shapes: x [..., n, ...], indices and result [..., k, ...].
 */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import { forEachIndex, sizeOfShape, stridesOf } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { normalizeAxis, printShape, sameShape } from "../shape.ts";
import { expectArity } from "./elementwise.ts";
import { checkIndex, expectIndices } from "./indices.ts";
import { scatterElementsAdd } from "./scatter-elements-add.ts";

type GatherElementsAttrs = { readonly axis: number };

export const gatherElementsOp: Op<GatherElementsAttrs> = {
  name: "gatherElements",
  infer(inputs, { axis }) {
    expectArity("gatherElements", inputs, 2);
    const [x, indices] = inputs;
    expectIndices("gatherElements", indices!);
    const fits = indices!.shape.length === x!.shape.length;
    if (!fits || !sameShape(x!.shape.with(axis, indices!.shape[axis]!), indices!.shape)) {
      throw new ShapeError({
        where: "gatherElements",
        what: `indices differ from x in more than axis ${axis}`,
        got: printShape(indices!.shape),
        expected: `like ${printShape(x!.shape)}`,
      });
    }
    return [{ dtype: x!.dtype, shape: x!.shape.with(axis, indices!.shape[axis]!) }];
  },
  evaluate([x, indices], { axis }, [shape]) {
    const strides = stridesOf(x!.shape);
    const data = new Float64Array(sizeOfShape(shape!));
    forEachIndex(shape!, [strides.with(axis, 0)], (flat, [from]) => {
      const index = checkIndex("gatherElements", indices!.data[flat]!, x!.shape[axis]!);
      data[flat] = x!.data[from! + index * strides[axis]!]!;
    });
    return [{ shape: shape!, data }];
  },
  onnx(emit, node) {
    emit.node("GatherElements", node.inputs, { axis: node.attrs.axis }, node.outputs[0]);
  },
  vjp: ({ inputs: [x, indices], cotangents: [dy], attrs: { axis } }) => [
    scatterElementsAdd(dy!, indices!, x!.type.shape, axis),
    undefined,
  ],
};

/**
 * @param indices int32 or int64, each from 0 to n - 1, shaped like `x` but for the axis
 * @throws ShapeError if the shapes differ in another axis
 */
export function gatherElements(x: Value, indices: Value, axis: number): Value {
  return apply(gatherElementsOp, [x, indices], { axis: normalizeAxis(axis, x.type.shape.length, "gatherElements") });
}
