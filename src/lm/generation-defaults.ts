/** `generation_config.json`: how a model's authors mean it to be sampled, and which tokens end it. */
import { access } from "node:fs/promises";
import { join } from "node:path";
import { type JsonValue, readJsonObject } from "../formats/peft/json-object.ts";
import type { GenerateOptions } from "./generate.ts";

export type GenerationDefaults = Pick<
  GenerateOptions,
  "doSample" | "temperature" | "topK" | "topP" | "minP" | "repetitionPenalty" | "maxNewTokens" | "stopIds" | "padId"
>;

const NUMBERS = {
  temperature: "temperature",
  top_k: "topK",
  top_p: "topP",
  min_p: "minP",
  repetition_penalty: "repetitionPenalty",
  max_new_tokens: "maxNewTokens",
  pad_token_id: "padId",
} as const;

/** The settings of a folder; stop tokens also from `config.json`, as transformers takes them. Without files: none. */
export async function generationDefaults(dir: string): Promise<GenerationDefaults> {
  const [own, model] = [await fields(join(dir, "generation_config.json")), await fields(join(dir, "config.json"))];
  const found: Record<string, unknown> = {};
  for (const [key, name] of Object.entries(NUMBERS)) {
    const value = own?.get(key);
    if (typeof value === "number") found[name] = value;
  }
  if (own?.get("do_sample") === true) found["doSample"] = true;
  const stops = idsOf(own?.get("eos_token_id")) ?? idsOf(model?.get("eos_token_id"));
  return { ...found, ...(stops === undefined ? {} : { stopIds: stops }) };
}

async function fields(path: string): Promise<Awaited<ReturnType<typeof readJsonObject>> | undefined> {
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  return exists ? readJsonObject(path) : undefined;
}

function idsOf(value: JsonValue | undefined): number[] | undefined {
  const ids = (Array.isArray(value) ? value : [value]).filter((id) => typeof id === "number");
  return ids.length === 0 ? undefined : ids;
}
