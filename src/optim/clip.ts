/** Clipping by the norm of all gradients together, as PyTorch's `clip_grad_norm_`. */
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { scalar } from "../ir/ops/constant.ts";
import { div } from "../ir/ops/div.ts";
import { minimum } from "../ir/ops/minimum.ts";
import { mul } from "../ir/ops/mul.ts";
import { reduceSum } from "../ir/ops/reduce-sum.ts";
import { sqrt } from "../ir/ops/sqrt.ts";

/** ‖g‖₂ over all elements of all gradients; a scalar. */
export function globalNorm(gradients: readonly Value[]): Value {
  return sqrt(gradients.map((g) => reduceSum(mul(g, g))).reduce(add));
}

/**
 * Gradients times min(1, maxNorm / (norm + 1e-6)).
 * @param norm from {@link globalNorm}
 */
export function clipByNorm(gradients: readonly Value[], norm: Value, maxNorm: number): Value[] {
  const constant = (value: number) => scalar(norm.graph, value);
  const factor = minimum(div(constant(maxNorm), add(norm, constant(1e-6))), constant(1));
  return gradients.map((g) => mul(g, factor));
}
