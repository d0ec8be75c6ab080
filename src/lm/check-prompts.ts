/** The texts on which a merged model is compared with the one that was trained. */
import { readFile } from "node:fs/promises";
import type { JinjaTemplate, Tokenizer } from "../data/text/index.ts";
import { ConfigError, DataError } from "../errors.ts";
import { Random } from "../random.ts";

export interface CheckPrompt {
  readonly prompt: string;
  readonly ids: readonly number[];
  /** The tokens are random: there is no tokenizer. */
  readonly drawn?: true;
}

/** Of different kinds, so that different parts of a model are at work. */
export const CHECK_PROMPTS: readonly string[] = [
  "Once upon a time, there was a little girl who",
  "What is the capital of France, and what is it known for?",
  "Give three tips for staying healthy.",
  "Write a function in Python that adds two numbers.",
  "Explain in one sentence why the sky is blue.",
  "17 plus 25 is",
  "Translate into German: Good morning, how are you?",
  "从前有一座山，",
];

/** Tokens of a prompt that are compared at most: the logits of all of them are in memory at the same time. */
const MAX_TOKENS = 256;
/** Tokens of a prompt that is drawn, for models without a tokenizer. */
const DRAWN_TOKENS = 16;

/**
 * Prompts of a file: one per line; in `.jsonl` a string per line, or an object with `prompt`, `instruction` or `text`; in
 * `.json` a list of those.
 * @throws DataError if the file cannot be read or has no prompts, naming the line that is not one
 */
export async function readCheckPrompts(path: string): Promise<string[]> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new DataError({ where: path, what: `cannot be read (${code ?? String(cause)})`, cause });
  }
  const lines = text.split(/\r?\n/);
  let prompts: string[];
  if (path.endsWith(".json")) {
    const value = parsed(text, path);
    if (!Array.isArray(value)) throw new DataError({ where: path, what: "is not a list of prompts" });
    prompts = value.map((item, i) => promptOf(item, `${path}: item ${i + 1}`));
  } else if (path.endsWith(".jsonl")) {
    prompts = lines.flatMap((line, i) => {
      const where = `${path}:${i + 1}`;
      return line.trim() === "" ? [] : [promptOf(parsed(line, where), where)];
    });
  } else {
    prompts = lines.filter((line) => line.trim() !== "");
  }
  if (prompts.length === 0) throw new DataError({ where: path, what: "has no prompts", expected: "one per line" });
  return prompts;
}

function parsed(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DataError({ where, what: `not JSON: ${(cause as Error).message}`, cause });
  }
}

function promptOf(value: unknown, where: string): string {
  const fields = typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  const prompt = typeof value === "string" ? value : (fields["prompt"] ?? fields["instruction"] ?? fields["text"]);
  if (typeof prompt === "string" && prompt !== "") return prompt;
  throw new DataError({ where, what: "has no prompt", expected: "a string, or an object with prompt" });
}

export interface EncodePromptOptions {
  /** Renders each prompt as a question. Default: the plain text. */
  readonly template?: JinjaTemplate;
  readonly vocabSize: number;
  /** Tokens that a prompt has at most, so that there is room for its continuation. */
  readonly maxTokens: number;
}

/** @throws ConfigError if the tokenizer has tokens that the model has not */
export async function encodePrompts(
  tokenizer: Tokenizer,
  prompts: readonly string[],
  { template, vocabSize, maxTokens }: EncodePromptOptions,
): Promise<CheckPrompt[]> {
  const encoded: CheckPrompt[] = [];
  for (const prompt of prompts) {
    const ids =
      template === undefined
        ? await tokenizer.encode(prompt, { addSpecialTokens: true })
        : await tokenizer.encode(template.render([{ role: "user", content: prompt }], { addGenerationPrompt: true }));
    const unknown = ids.find((id) => id >= vocabSize);
    if (unknown !== undefined) {
      throw new ConfigError({
        where: "tokenizer",
        what: `has token ${unknown}, and the model has ${vocabSize} tokens`,
        hint: "model and tokenizer are not of the same checkpoint",
      });
    }
    // Some tokenizers have nothing for an empty text; a model cannot read nothing.
    const some = ids.length === 0 ? [tokenizer.bosId ?? tokenizer.eosId ?? 0] : [...ids];
    encoded.push({ prompt, ids: some.slice(-Math.max(1, Math.min(maxTokens, MAX_TOKENS))) });
  }
  return encoded;
}

/** For models without a tokenizer: tokens that are drawn, the same ones every time. */
export function drawnPrompts({ vocabSize, maxTokens }: EncodePromptOptions): CheckPrompt[] {
  const length = Math.max(1, Math.min(maxTokens, DRAWN_TOKENS));
  return CHECK_PROMPTS.map((_, i) => {
    const random = new Random(0, i);
    return {
      prompt: `random tokens ${i + 1}`,
      drawn: true,
      ids: Array.from({ length }, () => Math.min(vocabSize - 1, Math.floor(random.uniform() * vocabSize))),
    };
  });
}
