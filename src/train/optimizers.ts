/** The optimizer of a configuration, and which parameters its decay is for. */
import type { Settings } from "../config/derive.ts";
import { type ParameterSpec } from "../nn/module.ts";
import { adamw } from "../optim/adam.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { sgd } from "../optim/sgd.ts";

export function optimizerOf({ optim, adamBeta1, adamBeta2, adamEpsilon }: Settings, weightDecay: number): Optimizer {
  if (optim === "sgd") return sgd({ weightDecay });
  return adamw({ beta1: adamBeta1, beta2: adamBeta2, epsilon: adamEpsilon, weightDecay });
}

/** As transformers: neither biases nor the scales of norms decay. */
export function decays({ name }: ParameterSpec): boolean {
  return !/bias|layernorm|rmsnorm|(^|[._])norm($|\.)|(^|\.)ln_|_norm($|\.)/i.test(name);
}
