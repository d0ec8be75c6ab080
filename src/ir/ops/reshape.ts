/** The same elements in row-major order under another shape. One size may be -1. */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import { ndarray } from "../ndarray.ts";
import type { Op } from "../op.ts";
import {
  dim,
  type Dim,
  type DimLike,
  divideDim,
  elementCount,
  printShape,
  sameDim,
  sameShape,
  type Shape,
} from "../shape.ts";

type ReshapeAttrs = { readonly shape: Shape };

export const reshapeOp: Op<ReshapeAttrs> = {
  name: "reshape",
  view: true,
  infer([x], { shape }) {
    if (!sameDim(elementCount(x!.shape), elementCount(shape))) {
      throw new ShapeError({
        where: "reshape",
        what: "number of elements changes",
        got: `${printShape(x!.shape)} to ${printShape(shape)}`,
      });
    }
    return [{ dtype: x!.dtype, shape }];
  },
  evaluate: ([x], _attrs, [shape]) => [ndarray(shape!, x!.data)],
  onnx(emit, node) {
    emit.node("Reshape", [node.inputs[0]!, emit.shape(node.outputTypes[0]!.shape)], { allowzero: 1 }, node.outputs[0]);
  },
  vjp: ({ inputs: [x], cotangents: [dy] }) => [reshape(dy!, x!.type.shape)],
};

/** `x` itself if it has the shape already. @throws ShapeError if the elements do not fit. */
export function reshape(x: Value, dims: readonly DimLike[]): Value {
  const at = dims.indexOf(-1);
  const known = dims.map((d, i): Dim => (i === at ? dim(1) : dim(d)));
  const shape = at < 0 ? known : known.with(at, divideDim(elementCount(x.type.shape), elementCount(known), "reshape"));
  return sameShape(shape, x.type.shape) ? x : apply(reshapeOp, [x], { shape });
}
