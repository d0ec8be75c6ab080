/** y = eˣ. */
import { isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { elementwise } from "./elementwise.ts";
import { mul } from "./mul.ts";

export const expOp = elementwise({
  name: "exp",
  onnxType: "Exp",
  arity: 1,
  accepts: isFloat,
  f: (x) => Math.exp(x),
  vjp: ({ outputs: [y], cotangents: [dy] }) => [mul(dy!, y!)],
});

export function exp(x: Value): Value {
  return apply(expOp, [x], {});
}
