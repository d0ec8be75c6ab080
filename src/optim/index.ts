/** Optimizers by their wire names. */
import { adam, adamw, type AdamOptions } from "./adam.ts";
import type { Optimizer } from "./optimizer.ts";
import { sgd, type SgdOptions } from "./sgd.ts";

export const OPTIMIZERS = { adam, adamw, sgd } satisfies Record<
  string,
  (options?: AdamOptions & SgdOptions) => Optimizer
>;

export type OptimizerName = keyof typeof OPTIMIZERS;
