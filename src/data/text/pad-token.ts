/**
 * Which token fills rows up. Where padding and the end of text are the same token, every program that masks padding by
 * its id also masks the end of text, and the model never learns to stop; so another token is taken if there is one.
 */
import { DataError } from "../../errors.ts";

export interface PadChoice {
  readonly token: string;
  readonly id: number;
  /** Whether it also ends an answer, for want of another. Ours masks by position, so nothing is lost here. */
  readonly isStop: boolean;
  /** Why this one, for a person. */
  readonly why: string;
}

/** Tokens that mean nothing in a text, the best first. */
const CANDIDATES = [
  "<|endoftext|>",
  "<|finetune_right_pad_id|>",
  "<pad>",
  "[PAD]",
  "<|pad|>",
  "<|PAD_TOKEN|>",
  "<|fim_pad|>",
  "<|vision_pad|>",
  "<unk>",
  "<|reserved_special_token_0|>",
];

/**
 * @param configured the tokenizer's own
 * @param stops ids that end an answer
 * @throws DataError when there is no token at all that could do it
 */
export function choosePad(
  where: string,
  configured: string | undefined,
  stops: ReadonlySet<number>,
  eos: string | undefined,
  idOf: (token: string) => number | undefined,
): PadChoice {
  const own = configured === undefined ? undefined : idOf(configured);
  if (configured !== undefined && own !== undefined && !stops.has(own)) {
    return { token: configured, id: own, isStop: false, why: "the tokenizer's own" };
  }
  const reason =
    configured === undefined
      ? "the tokenizer names none"
      : own === undefined
        ? `the tokenizer names ${configured}, which it does not have`
        : `the tokenizer names ${configured}, which also ends an answer`;
  for (const token of CANDIDATES) {
    const id = idOf(token);
    if (id !== undefined && !stops.has(id))
      return { token, id, isStop: false, why: `${reason}; this one ends nothing` };
  }
  const last = eos === undefined ? undefined : idOf(eos);
  if (eos === undefined || last === undefined) {
    throw new DataError({
      where,
      what: "the tokenizer has neither a token for padding nor one for the end of text",
      hint: 'name them in tokenizer_config.json: "eos_token" and "pad_token"',
    });
  }
  return { token: eos, id: last, isStop: true, why: `${reason}; there is no other` };
}
