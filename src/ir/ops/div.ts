/** z = x / y elementwise, broadcasting. dx = dz / y, dy = -dz · z / y. */
import { apply, type Value } from "../graph.ts";
import { elementwise } from "./elementwise.ts";
import { mul } from "./mul.ts";
import { neg } from "./neg.ts";

export const divOp = elementwise({
  name: "div",
  onnxType: "Div",
  arity: 2,
  f: (x, y) => x / y,
  vjp: ({ inputs: [, y], outputs: [z], cotangents: [dz], needs }) => {
    const dx = div(dz!, y!);
    return [dx, needs[1] ? neg(mul(dx, z!)) : undefined];
  },
});

export function div(x: Value, y: Value): Value {
  return apply(divOp, [x, y], {});
}
