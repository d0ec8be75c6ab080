/** Numbers in derivative rules. */
import type { Value } from "../graph.ts";
import { add } from "./add.ts";
import { scalar } from "./constant.ts";
import { mul } from "./mul.ts";
import { sub } from "./sub.ts";

/** scale · x + shift. */
export function affine(x: Value, scale: number, shift = 0): Value {
  const number = (value: number) => scalar(x.graph, value, x.type.dtype);
  if (scale === -1 && shift !== 0) return sub(number(shift), x);
  const scaled = scale === 1 ? x : mul(x, number(scale));
  return shift === 0 ? scaled : add(scaled, number(shift));
}
