/** y = the largest whole number that is not above x. Its derivative is 0 wherever it has one. */
import { isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { elementwise } from "./elementwise.ts";

export const floorOp = elementwise({
  name: "floor",
  onnxType: "Floor",
  arity: 1,
  accepts: isFloat,
  f: (x) => Math.floor(x),
  vjp: "zero",
});

export function floor(x: Value): Value {
  return apply(floorOp, [x], {});
}
