/** y = √x. NaN below 0; the derivative at 0 is ∞. */
import { isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { affine } from "./affine.ts";
import { div } from "./div.ts";
import { elementwise } from "./elementwise.ts";

export const sqrtOp = elementwise({
  name: "sqrt",
  onnxType: "Sqrt",
  arity: 1,
  accepts: isFloat,
  f: (x) => Math.sqrt(x),
  vjp: ({ outputs: [y], cotangents: [dy] }) => [div(affine(dy!, 0.5), y!)],
});

export function sqrt(x: Value): Value {
  return apply(sqrtOp, [x], {});
}
