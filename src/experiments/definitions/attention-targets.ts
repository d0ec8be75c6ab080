/** Runs of LoRA on matrices of attention alone, as §7.1 and §7.2 of the LoRA paper have them. */
import { loraRun, type Run } from "./protocol.ts";

/** Short names, as the paper's q, k, v and o. */
export type Matrices = "q" | "k" | "v" | "o" | "q,k" | "q,v" | "q,k,v,o";

export function attentionRun(matrices: Matrices, r: number): Run {
  const targets = matrices.split(",").map((one) => `${one}_proj`);
  return (seed) => loraRun(r, seed, { targets });
}
