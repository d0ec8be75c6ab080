/** Qwen2 and Qwen2.5 (Yang et al. 2024, arXiv 2407.10671): the Llama decoder with biases on q, k and v. */
import type { ModelFamily } from "./text-model.ts";
import { decoder } from "./decoder.ts";
import { DECODER_TASKS } from "./head.ts";
import { llamaSettings, qwenWindow } from "./llama-settings.ts";

export const qwen2: ModelFamily = {
  modelType: "qwen2",
  source: "Yang et al. 2024, arXiv 2407.10671",
  className: "Qwen2",
  defaultTargets: ["q_proj", "v_proj"],
  tasks: DECODER_TASKS,
  build: (config, task) =>
    decoder(
      {
        ...llamaSettings("qwen2", config, { theta: 10_000, maxPositions: 32_768 }),
        qkvBias: true,
        outputBias: false,
        mlpBias: false,
        qkNorm: false,
        window: qwenWindow(config),
      },
      task,
    ),
};
