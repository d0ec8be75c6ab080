/** Control of a run, beyond transformers: LLaMA-Factory's keys, and the order of the samples. */
import { folded, honoured, inert } from "../key.ts";
import { bool, byteCount, int, maybe } from "../type.ts";

export const RUN = {
  shuffle: honoured(bool, true, "a new order of the samples in each epoch"),
  disable_shuffling: folded(bool, false, "true: samples stay in their order", "shuffle"),
  early_stopping_steps: honoured(
    maybe(int({ min: 1 })),
    null,
    "evaluations without a better metric_for_best_model after which training stops",
  ),
  optimizer_memory_budget: honoured(
    maybe(byteCount),
    null,
    "memory for the optimizer's states; what is beyond it is paged to a file in output_dir, with the same numbers. null: all of it is in memory, with paged optimizers nothing",
  ),
  plot_loss: honoured(bool, false, "draws training_loss.svg and .png; `lowrank train` always does"),
  include_effective_tokens_per_second: inert(bool, false, "reports tokens per second", "they are always reported"),
};
