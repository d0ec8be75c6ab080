/** z = the larger of x and y, broadcasting; NaN if one is. Where they are equal each gets half the derivative, as in PyTorch. */
import { apply, type Value } from "../graph.ts";
import { elementwise } from "./elementwise.ts";
import { greater } from "./greater.ts";
import { share } from "./share.ts";

export const maximumOp = elementwise({
  name: "maximum",
  onnxType: "Max",
  arity: 2,
  f: (x, y) => Math.max(x, y),
  vjp: ({ inputs: [x, y], cotangents: [dz], needs }) => [
    needs[0] ? share(dz!, greater(x!, y!), x!, y!) : undefined,
    needs[1] ? share(dz!, greater(y!, x!), x!, y!) : undefined,
  ],
});

export function maximum(x: Value, y: Value): Value {
  return apply(maximumOp, [x, y], {});
}
