/** Text from tokens that come one at a time. */
import type { DecodeOptions, Tokenizer } from "./tokenizer.ts";

/** What a decoder writes for bytes that are no character, or not yet. */
const REPLACEMENT = "\uFFFD";

/**
 * Pieces of text as tokens arrive: together exactly what decoding all tokens at once gives, and never half of a
 * character, which several tokens may share.
 */
export class TextStream {
  readonly #tokenizer: Pick<Tokenizer, "decode">;
  readonly #options: DecodeOptions;
  /** Tokens whose text is out already but which decide how the next ones read: a decoder drops the first space. */
  #context: number[] = [];
  #held: number[] = [];

  constructor(tokenizer: Pick<Tokenizer, "decode">, options: DecodeOptions = {}) {
    this.#tokenizer = tokenizer;
    this.#options = options;
  }

  /** The text that is certain with this token; empty while a character is incomplete. */
  push(id: number): string {
    this.#held.push(id);
    const text = this.#pending();
    if (text === "" || text.endsWith(REPLACEMENT)) return "";
    this.#context = this.#held;
    this.#held = [];
    return text;
  }

  /** What was held back, at the end. The stream may be used again from the beginning. */
  end(): string {
    const text = this.#held.length === 0 ? "" : this.#pending();
    this.#context = [];
    this.#held = [];
    return text;
  }

  #pending(): string {
    const before = this.#tokenizer.decode(this.#context, this.#options);
    return this.#tokenizer.decode([...this.#context, ...this.#held], this.#options).slice(before.length);
  }
}
