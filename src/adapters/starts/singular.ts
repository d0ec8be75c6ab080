/** A and B of singular vectors: B = U √Σ, A = √Σ Vᵀ. */
import { ConfigError } from "../../errors.ts";
import type { Svd } from "../../linear-algebra/svd.ts";
import type { FactorsCall, StartFactors } from "./start.ts";

/** Factors of U Σ Vᵀ / s, so that s·B A is U Σ Vᵀ. */
export function splitFactors({ values, left, right }: Svd, r: number, s: number): StartFactors {
  const [out, width] = [left[0]!.length, right[0]!.length];
  const A = new Float32Array(r * width);
  const B = new Float32Array(out * r);
  for (let k = 0; k < r; k++) {
    const root = Math.sqrt(values[k]! / s);
    for (let j = 0; j < width; j++) A[k * width + j] = root * right[k]![j]!;
    for (let i = 0; i < out; i++) B[i * r + k] = root * left[k]![i]!;
  }
  return { A, B };
}

/** @throws ConfigError if the weight has fewer singular values than the rank, or the scale has no root */
export function expectDecomposable({ layer, config: { r, init }, scaling }: FactorsCall): void {
  const { name, inFeatures, outFeatures } = layer;
  const smaller = Math.min(inFeatures, outFeatures);
  if (r > smaller) {
    throw new ConfigError({
      where: name,
      what: `the start "${init}" has no rank ${r} here`,
      got: `a weight of [${outFeatures}, ${inFeatures}]`,
      expected: `a rank of at most ${smaller}`,
    });
  }
  if (scaling > 0) return;
  throw new ConfigError({ where: name, what: `the start "${init}" needs alpha > 0`, got: `a scale of ${scaling}` });
}
