/** Nothing is zero: A as by default, B ~ U(-1/√r, 1/√r). PEFT's `init_lora_weights: false`, for tests. */
import { kaimingUniform, normal, uniform } from "../../nn/init.ts";
import type { LoraStart } from "./start.ts";

export const random: LoraStart = {
  name: "random",
  about: "A and B random: the model is another one from the start",
  wire: false,
  onWeight: (r, fanIn) => ({ A: kaimingUniform(fanIn), B: uniform(1 / Math.sqrt(r)) }),
  onEmbedding: () => ({ A: normal(1), B: normal(1) }),
};
