/** z = x + y, broadcasting. */
import { apply, type Value } from "../graph.ts";
import { elementwise } from "./elementwise.ts";

export const addOp = elementwise({
  name: "add",
  onnxType: "Add",
  arity: 2,
  f: (x, y) => x + y,
  vjp: ({ cotangents: [dz] }) => [dz, dz],
});

export function add(x: Value, y: Value): Value {
  return apply(addOp, [x, y], {});
}
