/** A model folder with random weights and the bundled tokenizer, small enough to train in a blink. */
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readModelConfig } from "../../src/formats/model/config.ts";
import { writeSafetensors } from "../../src/formats/safetensors/index.ts";
import { qwen2 } from "../../src/models/qwen2.ts";
import { Random, streamOf } from "../../src/random.ts";

const BUNDLED = fileURLToPath(new URL("../../../bundled/model/", import.meta.url));
const CONFIG = {
  architectures: ["Qwen2ForCausalLM"],
  model_type: "qwen2",
  hidden_act: "silu",
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  tie_word_embeddings: true,
  vocab_size: 2048,
};

/** Writes a Qwen2 of width 32 with one layer. @param dir is made */
export async function writeTinyModel(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, "config.json"), JSON.stringify(CONFIG));
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) await copyFile(join(BUNDLED, name), join(dir, name));
  const { parameters } = qwen2.build(await readModelConfig(dir));
  await writeSafetensors(
    join(dir, "model.safetensors"),
    parameters.map(({ name, shape, init }) => {
      const drawn = init(
        new Random(7, streamOf(name)),
        shape.reduce((a, b) => a * b, 1),
      );
      // Larger than a training starts with, so that hidden states tell texts apart.
      return { name, shape, dtype: "F32" as const, data: name.includes("norm") ? drawn : drawn.map((x) => 6 * x) };
    }),
  );
}
