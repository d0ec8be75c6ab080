/** y = cos x. On WebGPU to about 3 decimals only; see sin.ts. */
import { isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { elementwise } from "./elementwise.ts";
import { mul } from "./mul.ts";
import { neg } from "./neg.ts";
import { sin } from "./sin.ts";

export const cosOp = elementwise({
  name: "cos",
  onnxType: "Cos",
  arity: 1,
  accepts: isFloat,
  f: (x) => Math.cos(x),
  vjp: ({ inputs: [x], cotangents: [dy] }) => [neg(mul(dy!, sin(x!)))],
});

export function cos(x: Value): Value {
  return apply(cosOp, [x], {});
}
