/** The prompts that an export is tried on, as tokens of the base, and whether its files make the same tokens of them. */
import { loadTokenizer, type Tokenizer } from "../data/text/index.ts";
import { DataError } from "../errors.ts";
import { CHECK_PROMPTS, type CheckPrompt, drawnPrompts, encodePrompts } from "./check-prompts.ts";
import type { ExportOptions } from "./export-options.ts";
import type { ExportedText } from "./export-text.ts";
import type { PretrainedModel } from "./pretrained-model.ts";

export const DEFAULT_NEW_TOKENS = 16;

/** @returns undefined if the model has none */
export async function tokenizerOf({ dir }: PretrainedModel): Promise<Tokenizer | undefined> {
  try {
    return await loadTokenizer(dir);
  } catch (error) {
    // A model without one can still be merged; a broken one is an error.
    if (error instanceof DataError && error.problem.what.startsWith("no tokenizer")) return undefined;
    throw error;
  }
}

/** Those that are asked for; of a model without a tokenizer, tokens that are drawn. */
export async function checkPrompts(
  { language: { model } }: PretrainedModel,
  tokenizer: Tokenizer | undefined,
  { template }: ExportedText,
  { prompts = CHECK_PROMPTS, newTokens = DEFAULT_NEW_TOKENS }: ExportOptions,
): Promise<CheckPrompt[]> {
  const sizes = { vocabSize: model.vocabSize, maxTokens: model.maxPositions - newTokens };
  if (tokenizer === undefined) return drawnPrompts(sizes);
  return encodePrompts(tokenizer, prompts, { ...sizes, ...(template === undefined ? {} : { template }) });
}

/** Prompts that the files in `dir` make other tokens of than the base, in a sentence. */
export async function misreadPrompts(
  dir: string,
  prompts: readonly CheckPrompt[],
  { origin, template }: ExportedText,
  vocabSize: number,
  options: ExportOptions,
): Promise<string[]> {
  if (prompts[0]!.drawn === true) return [];
  const tokenizer = await loadTokenizer(dir);
  const missing = origin !== "none" && tokenizer.chatTemplate !== template?.source;
  if (missing) return ["the chat template in the files is not the one that was meant"];
  const again = await encodePrompts(tokenizer, options.prompts ?? CHECK_PROMPTS, {
    ...(template === undefined ? {} : { template }),
    vocabSize,
    maxTokens: Infinity,
  });
  const wrong = prompts.filter(({ ids }, i) => again[i]!.ids.slice(-ids.length).join() !== ids.join());
  return wrong.length === 0
    ? []
    : [`the tokenizer in the files reads ${wrong.length} of ${prompts.length} prompts otherwise`];
}
