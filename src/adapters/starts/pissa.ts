/**
 * PiSSA: A and B start as the largest singular values of W and their vectors, and train those; the rest is what is frozen.
 * With W = U Σ Vᵀ: B₀ = U_r √(Σ_r / s), A₀ = √(Σ_r / s) V_rᵀ, and the base is W − s·B₀ A₀.
 *
 * Source: Meng et al. 2024, arXiv 2404.02948, eq. 2-4; the division by s is PEFT's, so that it holds for alpha ≠ r.
 * `pissa_niter_N` approximates them by N steps from a random start, which is much less work for large weights.
 */
import { randomizedSvd, svd } from "../../linear-algebra/svd.ts";
import { Random } from "../../random.ts";
import { expectDecomposable, splitFactors } from "./singular.ts";
import { DEFAULT_DRAWS, type LoraStart } from "./start.ts";

const NITER = /^pissa_niter_(\d{1,3})$/;

export const pissa: LoraStart = {
  ...DEFAULT_DRAWS,
  name: "pissa",
  about: "A and B train the largest singular values of the weight; pissa_niter_N approximates them in N steps",
  also: NITER,
  takesFromBase: true,
  async factors(call) {
    const { config, scaling } = call;
    const { r, init } = config;
    expectDecomposable(call);
    const steps = NITER.exec(init)?.[1];
    const W = await call.weight();
    // From the same numbers every time: what was taken is found again, whatever the seed.
    const found = steps === undefined ? svd(W, r) : randomizedSvd(W, r, Number(steps), new Random(0));
    return splitFactors(found, r, scaling);
  },
};
