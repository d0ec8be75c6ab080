/**
 * Adam (Kingma & Ba 2015, arXiv 1412.6980) and AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), as PyTorch's.
 *
 *     m ← β1 m + (1-β1) g;  v ← β2 v + (1-β2) g²
 *     p ← p - lr/(1-β1ᵗ) · m / (√v/√(1-β2ᵗ) + ε)
 *
 * Adam adds λ p to the gradient; AdamW first shrinks p by 1 - lr λ.
 */
import { add } from "../ir/ops/add.ts";
import { scalar } from "../ir/ops/constant.ts";
import { div } from "../ir/ops/div.ts";
import { mul } from "../ir/ops/mul.ts";
import { sqrt } from "../ir/ops/sqrt.ts";
import { sub } from "../ir/ops/sub.ts";
import { expectRange, type Optimizer } from "./optimizer.ts";

export interface AdamOptions {
  /** In [0, 1). Default: 0.9. */
  readonly beta1?: number;
  /** In [0, 1). Default: 0.999. */
  readonly beta2?: number;
  /** ε >= 0. Default: 1e-8. */
  readonly epsilon?: number;
  /** λ >= 0. Default: 0 for Adam, 0.01 for AdamW. */
  readonly weightDecay?: number;
}

/** @throws ConfigError if an option is out of its range */
export function adam(options: AdamOptions = {}): Optimizer {
  return make("adam", options, options.weightDecay ?? 0, false);
}

/** @throws ConfigError if an option is out of its range */
export function adamw(options: AdamOptions = {}): Optimizer {
  return make("adamw", options, options.weightDecay ?? 0.01, true);
}

function make(
  name: string,
  { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 }: AdamOptions,
  weightDecay: number,
  decoupled: boolean,
): Optimizer {
  expectRange(name, "beta1", beta1, 0, 1);
  expectRange(name, "beta2", beta2, 0, 1);
  expectRange(name, "epsilon", epsilon, 0);
  expectRange(name, "weightDecay", weightDecay, 0);
  return {
    name,
    slots: ["exp_avg", "exp_avg_sq"],
    scalars: ["step_size", "root_correction", ...(decoupled && weightDecay !== 0 ? ["shrink"] : [])],
    scalarsAt: (step, learningRate) => ({
      step_size: learningRate / (1 - beta1 ** step),
      root_correction: 1 / Math.sqrt(1 - beta2 ** step),
      shrink: 1 - learningRate * weightDecay,
    }),
    update({ parameter: p, gradient, slots, scalars }) {
      const constant = (value: number) => scalar(p.graph, value);
      const g = decoupled || weightDecay === 0 ? gradient : add(gradient, mul(p, constant(weightDecay)));
      const shrunk = scalars.shrink === undefined ? p : mul(p, scalars.shrink);
      const m = add(mul(slots.exp_avg!, constant(beta1)), mul(g, constant(1 - beta1)));
      const v = add(mul(slots.exp_avg_sq!, constant(beta2)), mul(mul(g, g), constant(1 - beta2)));
      const root = add(mul(sqrt(v), scalars.root_correction!), constant(epsilon));
      return {
        parameter: sub(shrunk, mul(div(m, root), scalars.step_size!)),
        slots: { exp_avg: m, exp_avg_sq: v },
      };
    },
  };
}
