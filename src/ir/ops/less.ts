/** z = x < y, broadcasting; bool. WebGPU has no kernel for int64. */
import { apply, type Value } from "../graph.ts";
import { elementwise } from "./elementwise.ts";

export const lessOp = elementwise({
  name: "less",
  onnxType: "Less",
  arity: 2,
  f: (x, y) => Number(x < y),
  result: () => "bool",
  vjp: "zero",
});

export function less(x: Value, y: Value): Value {
  return apply(lessOp, [x, y], {});
}
