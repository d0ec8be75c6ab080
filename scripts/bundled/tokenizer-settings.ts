/** What the committed tokenizer was learnt from. */
export const TOKENIZER = {
  seed: 1,
  /** Of generated text: enough for every word to occur many times. */
  megabytes: 4,
  /** Tokens, special ones included. */
  vocabulary: 2048,
} as const;
