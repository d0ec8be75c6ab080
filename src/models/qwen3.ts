/**
 * Qwen3 (Yang et al. 2025, arXiv 2505.09388): the Llama decoder with norms on every head of queries and keys, and heads
 * whose width is a setting of its own.
 */
import type { ModelFamily } from "./text-model.ts";
import { decoder } from "./decoder.ts";
import { DECODER_TASKS } from "./head.ts";
import { llamaSettings, qwenWindow } from "./llama-settings.ts";

export const qwen3: ModelFamily = {
  modelType: "qwen3",
  source: "Yang et al. 2025, arXiv 2505.09388",
  className: "Qwen3",
  defaultTargets: ["q_proj", "v_proj"],
  tasks: DECODER_TASKS,
  build(config, task) {
    const bias = config.boolean("attention_bias", false);
    return decoder(
      {
        ...llamaSettings("qwen3", config, { theta: 10_000, maxPositions: 32_768, headDim: 128 }),
        qkvBias: bias,
        outputBias: bias,
        mlpBias: false,
        qkNorm: true,
        window: qwenWindow(config),
      },
      task,
    );
  },
};
