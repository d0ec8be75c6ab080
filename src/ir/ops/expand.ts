/** x stretched to a larger shape, after numpy's broadcasting. The derivative is the sum over the stretched axes. */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import { mapBroadcast } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { broadcastShapes, printShape, sameShape, type Shape } from "../shape.ts";

type ExpandAttrs = { readonly shape: Shape };

export const expandOp: Op<ExpandAttrs> = {
  name: "expand",
  infer([x], { shape }) {
    if (!sameShape(broadcastShapes("expand", x!.shape, shape), shape)) {
      throw new ShapeError({
        where: "expand",
        what: "shape does not stretch",
        got: printShape(x!.shape),
        expected: printShape(shape),
      });
    }
    return [{ dtype: x!.dtype, shape }];
  },
  evaluate: ([x], _attrs, [shape]) => [mapBroadcast([x!], shape!, (value) => value)],
  onnx(emit, node) {
    emit.node("Expand", [node.inputs[0]!, emit.shape(node.attrs.shape)], {}, node.outputs[0]);
  },
  // Shaped like the output: the caller sums it back.
  vjp: ({ cotangents: [dy] }) => [dy],
};

/** `x` itself if it has the shape already. */
export function expand(x: Value, shape: Shape): Value {
  return sameShape(x.type.shape, shape) ? x : apply(expandOp, [x], { shape });
}
