/** y = tanh x. dx = dy · (1 - y²). */
import { isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { affine } from "./affine.ts";
import { elementwise } from "./elementwise.ts";
import { mul } from "./mul.ts";

export const tanhOp = elementwise({
  name: "tanh",
  onnxType: "Tanh",
  arity: 1,
  accepts: isFloat,
  f: (x) => Math.tanh(x),
  vjp: ({ outputs: [y], cotangents: [dy] }) => [mul(dy!, affine(mul(y!, y!), -1, 1))],
});

export function tanh(x: Value): Value {
  return apply(tanhOp, [x], {});
}
