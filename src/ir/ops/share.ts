/** The part of a derivative that goes to one of two values between which `maximum` or `minimum` chooses. */
import type { Value } from "../graph.ts";
import { affine } from "./affine.ts";
import { scalar } from "./constant.ts";
import { equal } from "./equal.ts";
import { where } from "./where.ts";

/** All of `dz` where the value `wins`, half of it where `x` and `y` are equal, nothing elsewhere. */
export function share(dz: Value, wins: Value, x: Value, y: Value): Value {
  const nothing = scalar(dz.graph, 0, dz.type.dtype);
  return where(wins, dz, where(equal(x, y), affine(dz, 0.5), nothing));
}
