/** z = x > y, broadcasting; bool. */
import { apply, type Value } from "../graph.ts";
import { elementwise } from "./elementwise.ts";

export const greaterOp = elementwise({
  name: "greater",
  onnxType: "Greater",
  arity: 2,
  f: (x, y) => Number(x > y),
  result: () => "bool",
  vjp: "zero",
});

export function greater(x: Value, y: Value): Value {
  return apply(greaterOp, [x, y], {});
}
