/**
 * y = x Φ(x), with Φ the distribution function of N(0, 1) (Hendrycks and Gimpel 2016, arXiv 1606.08415): ½ (1 + erf(x/√2)),
 * or its approximation ½ (1 + tanh(√(2/π) (x + 0.044715 x³))). At -∞ the result is NaN, as in PyTorch.
 */
import { isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { mapBroadcast } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { add } from "./add.ts";
import { affine } from "./affine.ts";
import { elementwise } from "./elementwise.ts";
import { erf, errorFunction } from "./erf.ts";
import { exp } from "./exp.ts";
import { mul } from "./mul.ts";
import { tanh } from "./tanh.ts";

type GeluAttrs = { readonly approximate: "none" | "tanh" };

const TANH_SCALE = Math.sqrt(2 / Math.PI);
const CUBIC = 0.044715;

export const geluOp: Op<GeluAttrs> = {
  ...elementwise({ name: "gelu", arity: 1, accepts: isFloat, f: (x) => x, vjp: "zero" }),
  evaluate: ([x], { approximate }, [shape]) => [
    mapBroadcast([x!], shape!, (value) =>
      approximate === "none"
        ? 0.5 * value * (1 + errorFunction(value * Math.SQRT1_2))
        : 0.5 * value * (1 + Math.tanh(TANH_SCALE * (value + CUBIC * value ** 3))),
    ),
  ],
  onnx(emit, node) {
    emit.node("Gelu", node.inputs, { approximate: node.attrs.approximate }, node.outputs[0]);
  },
  vjp: ({ inputs: [x], cotangents: [dy], attrs: { approximate } }) => [
    mul(dy!, approximate === "none" ? exactSlope(x!) : tanhSlope(x!)),
  ],
};

/** @param options.approximate default "none": the exact function */
export function gelu(x: Value, options: Partial<GeluAttrs> = {}): Value {
  return apply(geluOp, [x], { approximate: options.approximate ?? "none" });
}

/** Φ(x) + x φ(x). */
function exactSlope(x: Value): Value {
  const distribution = affine(erf(affine(x, Math.SQRT1_2)), 0.5, 0.5);
  const density = affine(exp(affine(mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
  return add(distribution, mul(x, density));
}

/** ½ (1 + t) + ½ x (1 - t²) u', with t = tanh u and u = √(2/π) (x + 0.044715 x³). */
function tanhSlope(x: Value): Value {
  const square = mul(x, x);
  const t = tanh(mul(x, affine(square, TANH_SCALE * CUBIC, TANH_SCALE)));
  const slope = affine(square, 3 * TANH_SCALE * CUBIC, TANH_SCALE);
  return affine(add(t, mul(mul(x, slope), affine(mul(t, t), -1, 1))), 0.5, 0.5);
}
