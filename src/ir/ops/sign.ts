/**
 * y = 1 above 0, -1 below, 0 at 0.
 *
 * NaN stays NaN on CPU, as in ONNX; PyTorch, and WebGPU here, give 0.
 */
import { isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { onnxElementType } from "../onnx-types.ts";
import { elementwise } from "./elementwise.ts";

export const signOp = elementwise({
  name: "sign",
  arity: 1,
  accepts: isFloat,
  f: (x) => Math.sign(x),
  onnx(emit, node) {
    if (emit.device === "cpu") {
      emit.node("Sign", node.inputs, {}, node.outputs[0]);
      return;
    }
    // WebGPU has no kernel for Sign.
    const { dtype } = node.inputTypes[0]!;
    const zero = emit.constant(dtype, 0);
    const is = (comparison: string) =>
      emit.node("Cast", [emit.node(comparison, [node.inputs[0]!, zero])], { to: onnxElementType(dtype) });
    emit.node("Sub", [is("Greater"), is("Less")], {}, node.outputs[0]);
  },
  vjp: "zero",
});

export function sign(x: Value): Value {
  return apply(signOp, [x], {});
}
