/** z = x is equal to y, broadcasting; bool. WebGPU has no kernel for int64 and bool. */
import { apply, type Value } from "../graph.ts";
import { elementwise } from "./elementwise.ts";

export const equalOp = elementwise({
  name: "equal",
  onnxType: "Equal",
  arity: 2,
  f: (x, y) => Number(x === y),
  result: () => "bool",
  vjp: "zero",
});

export function equal(x: Value, y: Value): Value {
  return apply(equalOp, [x, y], {});
}
