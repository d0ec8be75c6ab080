/** y = x in another data type. Floats are truncated towards zero on the way to integers, as in ONNX. */
import type { DType } from "../dtype.ts";
import { isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { mapBroadcast } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { onnxElementType } from "../onnx-types.ts";

type CastAttrs = { readonly to: DType };

export const castOp: Op<CastAttrs> = {
  name: "cast",
  elementwise: true,
  infer: ([x], { to }) => [{ dtype: to, shape: x!.shape }],
  evaluate: ([x], { to }, [shape]) => [mapBroadcast([x!], shape!, (value) => convert(value, to))],
  onnx(emit, node) {
    emit.node("Cast", node.inputs, { to: onnxElementType(node.attrs.to) }, node.outputs[0]);
  },
  vjp: ({ inputs: [x], cotangents: [dy] }) => [isFloat(x!.type.dtype) ? cast(dy!, x!.type.dtype) : undefined],
};

function convert(value: number, to: DType): number {
  switch (to) {
    case "bool":
      return Number(value !== 0);
    case "int64":
      return Math.trunc(value);
    case "int32":
      return Math.trunc(value) | 0;
    case "uint32":
      return Math.trunc(value) >>> 0;
    case "int8":
      return (Math.trunc(value) << 24) >> 24;
    case "uint8":
      return Math.trunc(value) & 255;
    default:
      // The interpreter judges in float64: narrower floats are not rounded.
      return value;
  }
}

/** `x` itself if it has the type already. */
export function cast(x: Value, to: DType): Value {
  return x.type.dtype === to ? x : apply(castOp, [x], { to });
}
