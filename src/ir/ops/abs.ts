/** y = |x|. The derivative at 0 is 0, as in PyTorch. */
import { isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { elementwise } from "./elementwise.ts";
import { mul } from "./mul.ts";
import { sign } from "./sign.ts";

export const absOp = elementwise({
  name: "abs",
  onnxType: "Abs",
  arity: 1,
  accepts: isFloat,
  f: (x) => Math.abs(x),
  vjp: ({ inputs: [x], cotangents: [dy] }) => [mul(dy!, sign(x!))],
});

export function abs(x: Value): Value {
  return apply(absOp, [x], {});
}
