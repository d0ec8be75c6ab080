/**
 * Stochastic gradient descent with momentum, as PyTorch's `SGD` (dampening 0).
 *
 *     g ← g + λ p;  b ← μ b + g;  g ← g + μ b (Nesterov) or b;  p ← p - lr g
 */
import { ConfigError } from "../errors.ts";
import { add } from "../ir/ops/add.ts";
import { scalar } from "../ir/ops/constant.ts";
import { mul } from "../ir/ops/mul.ts";
import { sub } from "../ir/ops/sub.ts";
import { expectRange, type Optimizer } from "./optimizer.ts";

export interface SgdOptions {
  /** μ >= 0. Default: 0, no momentum and no slot. */
  readonly momentum?: number;
  /** Looks ahead by the momentum; needs one. Default: false. */
  readonly nesterov?: boolean;
  /** λ >= 0, added to the gradient. Default: 0. */
  readonly weightDecay?: number;
}

/** @throws ConfigError if an option is out of its range */
export function sgd({ momentum = 0, nesterov = false, weightDecay = 0 }: SgdOptions = {}): Optimizer {
  expectRange("sgd", "momentum", momentum, 0);
  expectRange("sgd", "weightDecay", weightDecay, 0);
  if (nesterov && momentum === 0) {
    throw new ConfigError({ where: "sgd: nesterov", what: "needs momentum", hint: "set momentum, such as 0.9" });
  }
  return {
    name: "sgd",
    slots: momentum === 0 ? [] : ["momentum_buffer"],
    scalars: ["lr"],
    scalarsAt: (_step, learningRate) => ({ lr: learningRate }),
    update({ parameter: p, gradient, slots, scalars }) {
      const constant = (value: number) => scalar(p.graph, value);
      const g = weightDecay === 0 ? gradient : add(gradient, mul(p, constant(weightDecay)));
      if (momentum === 0) return { parameter: sub(p, mul(g, scalars.lr!)), slots: {} };
      // Zero at the first step, so that b = g there, as in PyTorch.
      const b = add(mul(slots.momentum_buffer!, constant(momentum)), g);
      const direction = nesterov ? add(g, mul(b, constant(momentum))) : b;
      return { parameter: sub(p, mul(direction, scalars.lr!)), slots: { momentum_buffer: b } };
    },
  };
}
