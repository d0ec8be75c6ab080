/** z = x · y elementwise, broadcasting. */
import { apply, type Value } from "../graph.ts";
import { elementwise } from "./elementwise.ts";

export const mulOp = elementwise({
  name: "mul",
  onnxType: "Mul",
  arity: 2,
  f: (x, y) => x * y,
  vjp: ({ inputs: [x, y], cotangents: [dz], needs }) => [
    needs[0] ? mul(dz!, y!) : undefined,
    needs[1] ? mul(dz!, x!) : undefined,
  ],
});

export function mul(x: Value, y: Value): Value {
  return apply(mulOp, [x, y], {});
}
