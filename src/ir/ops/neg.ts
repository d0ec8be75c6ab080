/** y = -x. */
import { apply, type Value } from "../graph.ts";
import { elementwise } from "./elementwise.ts";

export const negOp = elementwise({
  name: "neg",
  onnxType: "Neg",
  arity: 1,
  f: (x) => -x,
  vjp: ({ cotangents: [dy] }) => [neg(dy!)],
});

export function neg(x: Value): Value {
  return apply(negOp, [x], {});
}
