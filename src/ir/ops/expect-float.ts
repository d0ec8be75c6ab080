/** What operations on real numbers ask of their inputs. */
import { ShapeError } from "../../errors.ts";
import { isFloat } from "../dtype.ts";
import type { Type } from "../op.ts";
import { expectArity, expectSameDType } from "./elementwise.ts";

/** @throws ShapeError unless there are `arity` inputs of one floating-point type. */
export function expectFloat(name: string, inputs: readonly Type[], arity: number): void {
  expectArity(name, inputs, arity);
  expectSameDType(name, inputs);
  const { dtype } = inputs[0]!;
  if (!isFloat(dtype)) {
    throw new ShapeError({ where: name, what: "input has the wrong type", got: dtype, expected: "a float type" });
  }
}
