/** z = x - y, broadcasting. */
import { apply, type Value } from "../graph.ts";
import { elementwise } from "./elementwise.ts";
import { neg } from "./neg.ts";

export const subOp = elementwise({
  name: "sub",
  onnxType: "Sub",
  arity: 2,
  f: (x, y) => x - y,
  vjp: ({ cotangents: [dz], needs }) => [dz, needs[1] ? neg(dz!) : undefined],
});

export function sub(x: Value, y: Value): Value {
  return apply(subOp, [x, y], {});
}
