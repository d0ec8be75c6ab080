/** y = erf x = 2/√π ∫₀ˣ e⁻ᵗ² dt. */
import { isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { affine } from "./affine.ts";
import { elementwise } from "./elementwise.ts";
import { exp } from "./exp.ts";
import { mul } from "./mul.ts";

const SLOPE_AT_0 = 2 / Math.sqrt(Math.PI);

export const erfOp = elementwise({
  name: "erf",
  onnxType: "Erf",
  arity: 1,
  accepts: isFloat,
  f: (x) => errorFunction(x),
  vjp: ({ inputs: [x], cotangents: [dy] }) => [mul(dy!, affine(exp(affine(mul(x!, x!), -1)), SLOPE_AT_0))],
});

export function erf(x: Value): Value {
  return apply(erfOp, [x], {});
}

/**
 * The error function of a number, to the last digits of float64: 2/√π · e^(-x²) · Σ 2ⁿ x^(2n+1) / (1·3·…·(2n+1)), whose
 * terms are all of one sign (Abramowitz and Stegun 1964, 7.1.6).
 */
export function errorFunction(x: number): number {
  // From here on float64 rounds to 1.
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > Math.abs(sum) * 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return SLOPE_AT_0 * Math.exp(-x * x) * sum;
}
