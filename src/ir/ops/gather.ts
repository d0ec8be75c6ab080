/**
 * Slices of x at `indices` along an axis: embedding lookup, selection of rows.
 *
 * Shapes: x [..., n, ...], indices [any], result [..., any, ...]: the axis is replaced by the axes of `indices`.
 */
import { apply, type Value } from "../graph.ts";
import { sizeOfShape } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { normalizeAxis } from "../shape.ts";
import { expectArity } from "./elementwise.ts";
import { checkIndex, expectIndices } from "./indices.ts";
import { scatterAdd } from "./scatter-add.ts";

type GatherAttrs = { readonly axis: number };

export const gatherOp: Op<GatherAttrs> = {
  name: "gather",
  infer(inputs, { axis }) {
    expectArity("gather", inputs, 2);
    const [x, indices] = inputs;
    expectIndices("gather", indices!);
    return [{ dtype: x!.dtype, shape: x!.shape.toSpliced(axis, 1, ...indices!.shape) }];
  },
  evaluate([x, indices], { axis }, [shape]) {
    const size = x!.shape[axis]!;
    const inner = sizeOfShape(x!.shape.slice(axis + 1));
    const data = new Float64Array(sizeOfShape(shape!));
    let to = 0;
    for (let outer = 0; outer < sizeOfShape(x!.shape.slice(0, axis)); outer++) {
      for (const index of indices!.data) {
        const from = (outer * size + checkIndex("gather", index, size)) * inner;
        data.set(x!.data.subarray(from, from + inner), to);
        to += inner;
      }
    }
    return [{ shape: shape!, data }];
  },
  onnx(emit, node) {
    emit.node("Gather", node.inputs, { axis: node.attrs.axis }, node.outputs[0]);
  },
  vjp: ({ inputs: [x, indices], cotangents: [dy], attrs: { axis } }) => [
    scatterAdd(dy!, indices!, x!.type.shape, axis),
    undefined,
  ],
};

/** @param indices int32 or int64, each from 0 to n - 1; other positions give an error or nonsense, by device */
export function gather(x: Value, indices: Value, axis = 0): Value {
  return apply(gatherOp, [x, indices], { axis: normalizeAxis(axis, x.type.shape.length, "gather") });
}
