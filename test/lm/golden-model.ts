/** The models of golden/causal-lm, loaded as a user loads them, and what transformers computes with them. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import { AutoModelForCausalLM, type CausalLMModel } from "../../src/lm/causal-lm-model.ts";

export const GOLDEN_NAMES = [
  "qwen2-tied",
  "qwen2-window",
  "qwen3",
  "llama-llama3-rope",
  "llama-biases",
  "mistral-window",
  "gpt2",
] as const;

export interface GoldenModel {
  readonly model: CausalLMModel;
  /** Three rows: a full one, one padded on the right, one padded on the left. */
  readonly batch: Record<"inputIds" | "attentionMask" | "positionIds" | "labels", readonly (readonly number[])[]>;
  readonly loss: number;
  /** B · T · V */
  readonly logits: Float32Array;
}

/** The caller disposes the model. */
export async function goldenModel(name: (typeof GOLDEN_NAMES)[number]): Promise<GoldenModel> {
  const dir = fileURLToPath(new URL(`../../../golden/causal-lm/${name}`, import.meta.url));
  const batch = JSON.parse(await readFile(join(dir, "batch.json"), "utf8")) as {
    readonly input_ids: readonly (readonly number[])[];
    readonly attention_mask: readonly (readonly number[])[];
    readonly position_ids: readonly (readonly number[])[];
    readonly labels: readonly (readonly number[])[];
    readonly loss: number;
  };
  const expected = await openSafetensors(join(dir, "expected.safetensors"));
  try {
    return {
      model: await AutoModelForCausalLM.fromPretrained(dir, { threads: 1 }),
      batch: {
        inputIds: batch.input_ids,
        attentionMask: batch.attention_mask,
        positionIds: batch.position_ids,
        labels: batch.labels,
      },
      loss: batch.loss,
      logits: await expected.readFloat32("logits"),
    };
  } finally {
    await expected.close();
  }
}
