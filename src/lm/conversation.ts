/** A conversation with a model: from turn to turn, what both prompts begin with is not computed again. */
import { checkGeneration, generateInto, type GenerateOptions, type Generation } from "./generate.ts";
import { KvCache } from "./kv-cache.ts";
import type { LanguageModel } from "./language-model.ts";

export interface Turn extends Generation {
  /** Tokens of the prompt that were in the cache already. */
  readonly reusedTokens: number;
}

/**
 * Holds the key/value cache between generations. The weights of the model and of its adapters must stay as they are, or
 * {@link forget} be called. Other generations of the same model are fine: they take the cache, and the next turn computes
 * its whole prompt.
 */
export class Conversation {
  readonly #language: LanguageModel;
  #cache: KvCache | undefined;
  /** What the cache holds, and the adapters that computed it. */
  #tokens: readonly number[] = [];
  #adapters = "";

  constructor(language: LanguageModel) {
    this.#language = language;
  }

  /** Compiles what an answer needs, so that the first one does not wait for it. */
  async prepare(adapters: readonly string[]): Promise<void> {
    await this.#language.exclusively(async () => {
      const cache = await this.#holding(adapters);
      await cache.reserve(1);
      await this.#language.prepare([adapters]);
    });
  }

  /**
   * Goes on from a prompt.
   * @param prompt token ids, those of earlier turns included
   * @param adapters that are on
   * @throws as `generate`
   */
  async generate(prompt: readonly number[], adapters: readonly string[], options: GenerateOptions = {}): Promise<Turn> {
    checkGeneration(this.#language, [prompt], [adapters], options);
    return this.#language.exclusively(async () => {
      const cache = await this.#primed(prompt, adapters);
      const places = this.#language.virtualTokens([adapters]).count;
      const reusedTokens = Math.max(0, cache.filled - places);
      try {
        const generation = await generateInto(cache, this.#language, [prompt], [adapters], options);
        this.#tokens = [...prompt, ...generation.rows[0]!].slice(0, Math.max(0, cache.filled - places));
        return { ...generation, reusedTokens };
      } catch (error) {
        await this.#free();
        throw error;
      }
    });
  }

  /** Frees the cache. The conversation can go on. */
  async forget(): Promise<void> {
    await this.#language.exclusively(() => this.#free());
  }

  /** A cache of what these adapters computed, or an empty one. */
  async #holding(adapters: readonly string[]): Promise<KvCache> {
    const key = JSON.stringify(adapters);
    if (this.#cache?.isHeld !== true || key !== this.#adapters) {
      await this.#free();
      this.#cache = new KvCache(this.#language.device, this.#language.model, 1);
      this.#adapters = key;
    }
    return this.#cache;
  }

  /** The cache, with the longest beginning of the prompt that it holds. */
  async #primed(prompt: readonly number[], adapters: readonly string[]): Promise<KvCache> {
    const cache = await this.#holding(adapters);
    let common = 0;
    while (common < this.#tokens.length && this.#tokens[common] === prompt[common]) common++;
    const places = this.#language.virtualTokens([adapters]).count;
    // At least one token is computed: its logits are asked for.
    cache.truncate(places + Math.min(common, prompt.length - 1));
    return cache;
  }

  async #free(): Promise<void> {
    this.#tokens = [];
    await this.#cache?.free();
    this.#cache = undefined;
  }
}
