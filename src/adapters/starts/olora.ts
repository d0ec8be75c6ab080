/**
 * OLoRA: A and B start as the first rows and columns of W = Q R: B₀ = Q[:, :r], A₀ = R[:r], and the base is W − s·B₀ A₀.
 *
 * Source: Büyükakyüz 2024, arXiv 2406.01775, §3. Only the product matters for what is computed, and that is unique: the signs
 * of Q's columns are not. A weight that is stored as [in, out] is turned first, which PEFT forgets.
 */
import { leadingQr } from "../../linear-algebra/svd.ts";
import { expectDecomposable } from "./singular.ts";
import { DEFAULT_DRAWS, type LoraStart } from "./start.ts";

export const olora: LoraStart = {
  ...DEFAULT_DRAWS,
  name: "olora",
  about: "A and B train the first rows and columns of the weight's QR decomposition",
  takesFromBase: true,
  async factors(call) {
    const { r } = call.config;
    expectDecomposable(call);
    const { Q, R } = leadingQr(await call.weight(), r);
    const { inFeatures, outFeatures } = call.layer;
    const A = new Float32Array(r * inFeatures);
    const B = new Float32Array(outFeatures * r);
    for (let k = 0; k < r; k++) {
      A.set(R[k]!, k * inFeatures);
      for (let i = 0; i < outFeatures; i++) B[i * r + k] = Q[k]![i]!;
    }
    return { A, B };
  },
};
