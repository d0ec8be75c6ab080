/** W, float32, from the tensors that it is stored in: see encoding.ts. Frozen: no derivative flows into them. */
import { apply, type Value } from "../graph.ts";
import type { Op } from "../op.ts";
import { shapeOf } from "../shape.ts";
import { emitEncoded, type EncodedAttrs, evaluateEncoded, expectEncoded } from "./encoding.ts";

export const decodeOp: Op<EncodedAttrs> = {
  name: "decode",
  infer(tensors, attrs) {
    expectEncoded("decode", tensors, attrs);
    return [{ dtype: "float32", shape: shapeOf(attrs.shape) }];
  },
  evaluate: (tensors, attrs) => [evaluateEncoded(tensors, attrs)],
  onnx(emit, node) {
    emitEncoded(emit, node.inputs, node.attrs, { output: node.outputs[0]! });
  },
  vjp: "zero",
};

/** @param tensors in the order of `encodedTensors` */
export function decode(tensors: readonly Value[], attrs: EncodedAttrs): Value {
  return apply(decodeOp, tensors, attrs);
}
