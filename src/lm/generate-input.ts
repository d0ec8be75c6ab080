/** `generate`: rows of token ids in, longer rows out. */
import { ConfigError } from "../errors.ts";
import { type ChooseAdapters, fillRows } from "./forward.ts";
import { generate, type GenerateOptions, type Generation } from "./generate.ts";
import type { GenerationDefaults } from "./generation-defaults.ts";
import type { LanguageModel } from "./language-model.ts";
import { checkInput, type TokenRows } from "./token-rows.ts";

export interface GenerateInput extends GenerateOptions {
  /** [B][T] Rows may differ in length. */
  readonly inputIds: TokenRows;
  /** [B][T] 0 where a row has padding, on either side, as tokenizers make it. Default: none. */
  readonly attentionMask?: TokenRows;
  /** Name of the adapter of each row, `"__base__"` for none. Default: the active ones for all rows. */
  readonly adapterNames?: readonly string[];
  /** Tokens of prompt and answer together, at most; `maxNewTokens` goes before it. */
  readonly maxLength?: number;
  /** As `stopIds`, by transformers' name. */
  readonly eosTokenId?: number | readonly number[];
}

const OPTIONS = {
  inputIds: true,
  attentionMask: true,
  adapterNames: true,
  maxLength: true,
  maxNewTokens: true,
  maxContext: true,
  eosTokenId: true,
  stopIds: true,
  padId: true,
  seed: true,
  signal: true,
  onToken: true,
  doSample: true,
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  repetitionPenalty: true,
} as const satisfies Record<keyof GenerateInput, true>;

export interface GenerateResult extends Generation {
  /** Prompt and answer of each row, as transformers returns them: without the prompt's padding. */
  readonly sequences: readonly (readonly number[])[];
}

/** @throws ConfigError if an option is out of its range */
export async function generateFrom(
  language: LanguageModel,
  defaults: GenerationDefaults,
  input: GenerateInput,
  choose: ChooseAdapters,
): Promise<GenerateResult> {
  checkInput("generate", input, OPTIONS);
  const { inputIds, attentionMask, adapterNames, maxLength, eosTokenId, ...given } = input;
  checkMask(inputIds, attentionMask);
  const prompts = inputIds.map((row, b) => Array.from(row).filter((_, t) => (attentionMask?.[b]?.[t] ?? 1) !== 0));
  const options: GenerateOptions = { ...defaults, ...given };
  const longest = Math.max(0, ...prompts.map(({ length }) => length));
  const fromLength = given.maxNewTokens === undefined && maxLength !== undefined ? maxLength - longest : undefined;
  if (fromLength !== undefined && fromLength < 1) {
    throw new ConfigError({
      where: "maxLength",
      what: "leaves no room for an answer",
      got: maxLength,
      expected: `more than the prompt's ${longest} tokens`,
    });
  }
  const stopIds = eosTokenId === undefined ? options.stopIds : [eosTokenId].flat();
  const generation = await generate(language, prompts, fillRows(choose(adapterNames, prompts.length), prompts.length), {
    ...options,
    ...(stopIds === undefined ? {} : { stopIds }),
    ...(fromLength === undefined ? {} : { maxNewTokens: fromLength }),
  });
  return { ...generation, sequences: prompts.map((prompt, b) => [...prompt, ...generation.rows[b]!]) };
}

function checkMask(inputIds: GenerateInput["inputIds"], mask: GenerateInput["attentionMask"]): void {
  if (mask === undefined) return;
  const fits = mask.length === inputIds.length && mask.every((row, b) => row.length === inputIds[b]!.length);
  if (fits) return;
  const sizes = (rows: TokenRows) => `rows of ${rows.map(({ length }) => length).join(", ")}`;
  throw new ConfigError({
    where: "attentionMask",
    what: "does not fit inputIds",
    got: sizes(mask),
    expected: sizes(inputIds),
  });
}
