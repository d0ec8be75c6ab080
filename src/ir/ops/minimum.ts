/** z = the smaller of x and y, broadcasting; NaN if one is. Where they are equal each gets half the derivative, as in PyTorch. */
import { apply, type Value } from "../graph.ts";
import { elementwise } from "./elementwise.ts";
import { less } from "./less.ts";
import { share } from "./share.ts";

export const minimumOp = elementwise({
  name: "minimum",
  onnxType: "Min",
  arity: 2,
  f: (x, y) => Math.min(x, y),
  vjp: ({ inputs: [x, y], cotangents: [dz], needs }) => [
    needs[0] ? share(dz!, less(x!, y!), x!, y!) : undefined,
    needs[1] ? share(dz!, less(y!, x!), x!, y!) : undefined,
  ],
});

export function minimum(x: Value, y: Value): Value {
  return apply(minimumOp, [x, y], {});
}
