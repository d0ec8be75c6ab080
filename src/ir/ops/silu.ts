/** y = x σ(x), also called swish (Hendrycks and Gimpel 2016, arXiv 1606.08415). dx = dy · (σ + y (1 - σ)). */
import { isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { add } from "./add.ts";
import { affine } from "./affine.ts";
import { elementwise } from "./elementwise.ts";
import { mul } from "./mul.ts";
import { logistic, sigmoid } from "./sigmoid.ts";

export const siluOp = elementwise({
  name: "silu",
  arity: 1,
  accepts: isFloat,
  f: (x) => x * logistic(x),
  onnx(emit, node) {
    const [x] = node.inputs;
    emit.node("Mul", [x!, emit.node("Sigmoid", [x!])], {}, node.outputs[0]);
  },
  vjp: ({ inputs: [x], outputs: [y], cotangents: [dy] }) => {
    const s = sigmoid(x!);
    return [mul(dy!, add(s, mul(y!, affine(s, -1, 1))))];
  },
});

export function silu(x: Value): Value {
  return apply(siluOp, [x], {});
}
