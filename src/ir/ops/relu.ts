/** y = max(x, 0). The derivative at 0 is 0, as in PyTorch. */
import { apply, type Value } from "../graph.ts";
import { cast } from "./cast.ts";
import { scalar } from "./constant.ts";
import { elementwise } from "./elementwise.ts";
import { greater } from "./greater.ts";
import { mul } from "./mul.ts";

export const reluOp = elementwise({
  name: "relu",
  onnxType: "Relu",
  arity: 1,
  f: (x) => (x > 0 || Number.isNaN(x) ? x : 0),
  // The mask is taken from y, which the next layer keeps anyway, so that x can be freed.
  vjp: ({ outputs: [y], cotangents: [dy] }) => [
    mul(dy!, cast(greater(y!, scalar(y!.graph, 0, y!.type.dtype)), y!.type.dtype)),
  ],
});

export function relu(x: Value): Value {
  return apply(reluOp, [x], {});
}
