/**
 * y = xᵖ for a number p known when the graph is traced; write exp(p · ln x) for an exponent that is a tensor.
 * dx = dy · p xᵖ⁻¹. Below 0 the result is NaN unless p is whole.
 */
import { isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { mapBroadcast } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { affine } from "./affine.ts";
import { elementwise } from "./elementwise.ts";
import { mul } from "./mul.ts";

type PowAttrs = { readonly exponent: number };

export const powOp: Op<PowAttrs> = {
  ...elementwise({ name: "pow", arity: 1, accepts: isFloat, f: (x) => x, vjp: "zero" }),
  evaluate: ([x], { exponent }, [shape]) => [mapBroadcast([x!], shape!, (value) => value ** exponent)],
  onnx(emit, node) {
    const [x] = node.inputs;
    const { exponent } = node.attrs;
    // The commonest power, exact and without a call per element.
    if (exponent === 2) emit.node("Mul", [x!, x!], {}, node.outputs[0]);
    else emit.node("Pow", [x!, emit.constant(node.inputTypes[0]!.dtype, exponent)], {}, node.outputs[0]);
  },
  vjp: ({ inputs: [x], cotangents: [dy], attrs: { exponent } }) => {
    // p xᵖ⁻¹ would be 0 · ∞ at x = 0.
    if (exponent === 0) return [affine(dy!, 0)];
    return [mul(dy!, affine(pow(x!, exponent - 1), exponent))];
  },
};

/** `x` itself for the exponent 1. */
export function pow(x: Value, exponent: number): Value {
  return exponent === 1 ? x : apply(powOp, [x], { exponent });
}
