/** z = x is equal to y, broadcasting; bool. WebGPU has no kernel for int64. */
import { apply, type Value } from "../graph.ts";
import { onnxElementType } from "../onnx-types.ts";
import { elementwise } from "./elementwise.ts";

export const equalOp = elementwise({
  name: "equal",
  arity: 2,
  f: (x, y) => Number(x === y),
  result: () => "bool",
  onnx(emit, node) {
    // WebGPU compares numbers only.
    const isBool = emit.device === "webgpu" && node.inputTypes[0]!.dtype === "bool";
    const toNumber = (input: string) => emit.node("Cast", [input], { to: onnxElementType("int32") });
    emit.node("Equal", isBool ? node.inputs.map(toNumber) : node.inputs, {}, node.outputs[0]);
  },
  vjp: "zero",
});

export function equal(x: Value, y: Value): Value {
  return apply(equalOp, [x, y], {});
}
