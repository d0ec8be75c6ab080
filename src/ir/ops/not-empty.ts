/** Reductions that have no value over nothing. */
import { ShapeError } from "../../errors.ts";
import type { Type } from "../op.ts";
import { printShape } from "../shape.ts";

/** @throws ShapeError if one of `axes` has size 0. */
export function expectNotEmpty(name: string, { shape }: Type, axes: readonly number[]): void {
  for (const axis of axes) {
    if (shape[axis]!.size === 0) {
      throw new ShapeError({ where: name, what: `axis ${axis} has no elements`, got: printShape(shape) });
    }
  }
}
