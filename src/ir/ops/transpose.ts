/** Axes in another order: axis i of the result is axis `perm[i]` of x. */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import { transposed } from "../ndarray.ts";
import type { Op } from "../op.ts";

type TransposeAttrs = { readonly perm: readonly number[] };

export const transposeOp: Op<TransposeAttrs> = {
  name: "transpose",
  view: true,
  infer([x], { perm }) {
    const rank = x!.shape.length;
    if ([...perm].sort((a, b) => a - b).join() !== [...Array(rank).keys()].join()) {
      throw new ShapeError({
        where: "transpose",
        what: "not a permutation of the axes",
        got: perm,
        expected: `0 to ${rank - 1}`,
      });
    }
    return [{ dtype: x!.dtype, shape: perm.map((axis) => x!.shape[axis]!) }];
  },
  evaluate: ([x], { perm }) => [transposed(x!, perm)],
  onnx(emit, node) {
    emit.node("Transpose", node.inputs, { perm: node.attrs.perm }, node.outputs[0]);
  },
  vjp: ({ cotangents: [dy], attrs: { perm } }) => [
    transpose(
      dy!,
      perm.map((_, axis) => perm.indexOf(axis)),
    ),
  ],
};

export function transpose(x: Value, perm: readonly number[]): Value {
  return apply(transposeOp, [x], { perm });
}
