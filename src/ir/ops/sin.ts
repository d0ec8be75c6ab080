/** y = sin x. On WebGPU to about 3 decimals only (WGSL allows an error of 2⁻¹¹): tables of angles are better made outside. */
import { isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { cos } from "./cos.ts";
import { elementwise } from "./elementwise.ts";
import { mul } from "./mul.ts";

export const sinOp = elementwise({
  name: "sin",
  onnxType: "Sin",
  arity: 1,
  accepts: isFloat,
  f: (x) => Math.sin(x),
  vjp: ({ inputs: [x], cotangents: [dy] }) => [mul(dy!, cos(x!))],
});

export function sin(x: Value): Value {
  return apply(sinOp, [x], {});
}
