/** A tiny model that can be chatted with, without a tokenizer's files: a character is a token. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ChatTemplate, Tokenizer } from "../../../src/data/text/index.ts";
import { writeSafetensors } from "../../../src/formats/safetensors/index.ts";
import { Random } from "../../../src/random.ts";

/** Of the 43 tokens that the models of golden/causal-lm know. The first one stops an answer. */
const CHARACTERS = "$ abcdefghijklmnopqrstuvwxyz.,:;!?<>|/0123";

export const TOKENIZER = {
  encode: async (text: string) => Int32Array.from(text, (character) => Math.max(1, CHARACTERS.indexOf(character))),
  decode: (ids: ArrayLike<number>) => Array.from(ids, (id) => CHARACTERS[id]).join(""),
  stopIds: [0],
  addsBos: true,
  bosId: 42,
} as unknown as Tokenizer;

/** `<system>`, then `?question;answer;` for every turn. */
export const TEMPLATE: Pick<ChatTemplate, "render" | "stopIds"> = {
  stopIds: [0],
  render: (messages) =>
    messages
      .map(({ role, content }) =>
        role === "system" ? `<${content}>` : role === "user" ? `?${content};` : `${content};`,
      )
      .join(""),
};

export async function temporaryFolder(): Promise<{ dir: string; remove: () => Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), "lowrank-chat-"));
  return { dir, remove: () => rm(dir, { recursive: true, force: true }) };
}

/** Writes a LoRA of rank 2 on `q_proj` of every block, as PEFT does. Its update is large. */
export async function writeAdapter(
  dir: string,
  { blocks, inputs, outputs, seed }: { blocks: number; inputs: number; outputs: number; seed: number },
): Promise<void> {
  const random = new Random(seed);
  const tensor = (name: string, shape: readonly [number, number]) => ({
    name,
    dtype: "F32" as const,
    shape,
    data: Float32Array.from({ length: shape[0] * shape[1] }, () => 2 * random.uniform() - 1),
  });
  const layers = Array.from({ length: blocks }, (_, i) => `base_model.model.model.layers.${i}.self_attn.q_proj`);
  const tensors = layers.flatMap((layer) => [
    tensor(`${layer}.lora_A.weight`, [2, inputs]),
    tensor(`${layer}.lora_B.weight`, [outputs, 2]),
  ]);
  await writeSafetensors(join(dir, "adapter_model.safetensors"), tensors);
  const config = { peft_type: "LORA", task_type: "CAUSAL_LM", r: 2, lora_alpha: 8, target_modules: ["q_proj"] };
  await writeFile(join(dir, "adapter_config.json"), JSON.stringify(config));
}
