/** y = 1 / (1 + e⁻ˣ). dx = dy · y (1 - y). */
import { isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { affine } from "./affine.ts";
import { elementwise } from "./elementwise.ts";
import { mul } from "./mul.ts";

export const sigmoidOp = elementwise({
  name: "sigmoid",
  onnxType: "Sigmoid",
  arity: 1,
  accepts: isFloat,
  f: (x) => logistic(x),
  vjp: ({ outputs: [y], cotangents: [dy] }) => [mul(dy!, mul(y!, affine(y!, -1, 1)))],
});

export function sigmoid(x: Value): Value {
  return apply(sigmoidOp, [x], {});
}

/** The sigmoid of a number. */
export function logistic(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
