/** y = ln x. -∞ at 0, NaN below. */
import { isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { div } from "./div.ts";
import { elementwise } from "./elementwise.ts";

export const logOp = elementwise({
  name: "log",
  onnxType: "Log",
  arity: 1,
  accepts: isFloat,
  f: (x) => Math.log(x),
  vjp: ({ inputs: [x], cotangents: [dy] }) => [div(dy!, x!)],
});

export function log(x: Value): Value {
  return apply(logOp, [x], {});
}
