/** Llama, 1 to 3.3 (Touvron et al. 2023, arXiv 2302.13971; Grattafiori et al. 2024, arXiv 2407.21783). */
import type { ModelFamily } from "./text-model.ts";
import { decoder } from "./decoder.ts";
import { DECODER_TASKS } from "./head.ts";
import { llamaSettings } from "./llama-settings.ts";

export const llama: ModelFamily = {
  modelType: "llama",
  source: "Touvron et al. 2023, arXiv 2302.13971",
  className: "Llama",
  defaultTargets: ["q_proj", "v_proj"],
  tasks: DECODER_TASKS,
  build(config, task) {
    const bias = config.boolean("attention_bias", false);
    return decoder(
      {
        ...llamaSettings("llama", config, { theta: 10_000, maxPositions: 2048 }),
        qkvBias: bias,
        outputBias: bias,
        mlpBias: config.boolean("mlp_bias", false),
        qkNorm: false,
        window: () => undefined,
      },
      task,
    );
  },
};
