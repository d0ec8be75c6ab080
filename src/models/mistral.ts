/** Mistral 7B (Jiang et al. 2023, arXiv 2310.06825): the Llama decoder with a sliding window in every block. */
import type { ModelFamily } from "./text-model.ts";
import { decoder } from "./decoder.ts";
import { DECODER_TASKS } from "./head.ts";
import { llamaSettings, windowSize } from "./llama-settings.ts";

export const mistral: ModelFamily = {
  modelType: "mistral",
  source: "Jiang et al. 2023, arXiv 2310.06825",
  className: "Mistral",
  defaultTargets: ["q_proj", "v_proj"],
  tasks: DECODER_TASKS,
  build(config, task) {
    const window = windowSize(config);
    return decoder(
      {
        ...llamaSettings("mistral", config, { theta: 10_000, maxPositions: 131_072, kvHeads: 8 }),
        qkvBias: false,
        outputBias: false,
        mlpBias: false,
        qkNorm: false,
        window: () => window,
      },
      task,
    );
  },
};
