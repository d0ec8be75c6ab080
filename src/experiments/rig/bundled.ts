/** What experiments are made with: the bundled model, and the text that stands for what it was pretrained on. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DataError } from "../../errors.ts";
import { contentIdentity } from "../../train/compare/identity.ts";

const ROOT = fileURLToPath(new URL("../../../../bundled/", import.meta.url));
/** Qwen2 with width 128 and 4 layers, trained to convergence on text of its own. */
export const MODEL = join(ROOT, "model");
const HELD_OUT = join(ROOT, "pretraining-held-out.jsonl");

/** Documents like those that it was pretrained on, which it has not seen. @throws DataError if the package has come without */
export async function heldOutTexts(): Promise<string[]> {
  let text: string;
  try {
    text = await readFile(HELD_OUT, "utf8");
  } catch (cause) {
    throw new DataError({ where: HELD_OUT, what: "the bundled text is not here", cause });
  }
  return text
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { readonly text: string }).text);
}

let hash: Promise<string> | undefined;

/** Hash of model, tokenizer and text. */
export function bundledIdentity(): Promise<string> {
  hash ??= contentIdentity([
    ...["model.safetensors", "config.json", "tokenizer.json"].map((name) => join(MODEL, name)),
    HELD_OUT,
  ]);
  return hash;
}
