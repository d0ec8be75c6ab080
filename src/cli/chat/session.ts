/** A chat: its messages, which adapters are on, and answers from the model. */
import type { ChatTemplate, Tokenizer } from "../../data/text/index.ts";
import { TextStream } from "../../data/text/index.ts";
import type { Message } from "../../data/sample.ts";
import { DataError } from "../../errors.ts";
import { Conversation } from "../../lm/conversation.ts";
import type { EndReason, GenerateOptions } from "../../lm/generate.ts";
import type { LanguageModel } from "../../lm/language-model.ts";

export interface SessionOptions {
  readonly language: LanguageModel;
  readonly tokenizer: Tokenizer;
  /** The template while these adapters are on; undefined: the model goes on with the text, and remembers nothing. */
  readonly templateOf: (adapters: readonly string[]) => ChatTemplate | undefined;
  /** Adapters that are on at first. */
  readonly active?: readonly string[];
  readonly system?: string;
  readonly enableThinking?: boolean;
  /** Default: those of `generate`. */
  readonly generation?: Omit<GenerateOptions, "signal" | "onToken">;
  /** Special tokens are not part of an answer. Default: true. */
  readonly skipSpecialTokens?: boolean;
}

export interface Answer {
  readonly text: string;
  readonly reason: EndReason;
  /** Tokens of the prompt, and how many of them were in the cache. */
  readonly promptTokens: number;
  readonly reusedTokens: number;
  readonly newTokens: number;
  /** Time until the first token, and for all others. */
  readonly prefillMs: number;
  readonly decodeMs: number;
  /** Questions and answers that do not fit into the model's positions any more: the model did not see them. */
  readonly forgottenTurns: number;
}

export interface AskOptions {
  /** Called with pieces of the answer. */
  readonly onText?: (text: string) => void;
  /** Ends the answer; what is there stays in the chat. */
  readonly signal?: AbortSignal;
}

interface Turn {
  readonly question: string;
  readonly answer: string;
}

/** Share of the positions that is kept free for an answer, where `maxNewTokens` asks for more. */
const FREE_FOR_ANSWER = 1 / 4;

export class ChatSession {
  readonly #options: SessionOptions;
  readonly #conversation: Conversation;
  #active: readonly string[];
  #system: string | undefined;
  #turns: Turn[] = [];
  /** Turns from the first on that the model does not see. */
  #forgotten = 0;
  /** Questions so far: each is drawn from a seed of its own. */
  #asked = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#conversation = new Conversation(options.language);
    this.#active = options.active ?? [];
    this.#system = options.system;
  }

  /** Names of the adapters that are on. */
  get active(): readonly string[] {
    return this.#active;
  }

  get system(): string | undefined {
    return this.#system;
  }

  /** All of them, those too that the model does not see any more. */
  get messages(): readonly Message[] {
    return [...this.#systemMessage(), ...messagesOf(this.#turns)];
  }

  /** Switches to these adapters, none for the base. @throws ConfigError naming the nearest one */
  use(names: readonly string[]): void {
    for (const name of names) this.#options.language.adapter(name);
    this.#active = names;
  }

  /** Forgets all questions and answers; the system prompt stays. */
  clear(): void {
    this.#turns = [];
    this.#forgotten = 0;
  }

  /** Empty: none. */
  setSystem(text: string): void {
    this.#system = text === "" ? undefined : text;
  }

  /** @throws DataError if the question alone is too long, or the template refuses the messages */
  async ask(question: string, { onText, signal }: AskOptions = {}): Promise<Answer> {
    const { language, tokenizer, generation = {}, skipSpecialTokens = true } = this.#options;
    const template = this.#options.templateOf(this.#active);
    const forgotten = this.#forgotten;
    const prompt = template === undefined ? this.#plain(question) : this.#fitting(template, question);
    const ids = await prompt;
    const stopIds = [...new Set([...(generation.stopIds ?? []), ...(template?.stopIds ?? tokenizer.stopIds)])].filter(
      (id) => id < language.model.vocabSize,
    );
    const stream = new TextStream(tokenizer, { skipSpecialTokens });
    // What comes after a text begins as the text says: with a space or not.
    if (template === undefined) for (const id of ids) stream.push(id);
    let text = "";
    const write = (piece: string) => {
      if (piece === "") return;
      text += piece;
      onText?.(piece);
    };
    const turn = await this.#conversation.generate([...ids], this.#active, {
      ...generation,
      // Beyond its positions a model talks nonsense: the conversation says so instead.
      maxContext: language.positionsWith(this.#active),
      stopIds,
      seed: (generation.seed ?? 0) + this.#asked++,
      ...(signal === undefined ? {} : { signal }),
      onToken: ([token]) => {
        if (token !== undefined && !stopIds.includes(token)) write(stream.push(token));
      },
    });
    write(stream.end());
    const newTokens = turn.rows[0]!.length;
    if (template !== undefined && newTokens > 0) this.#turns.push({ question, answer: text });
    return {
      text,
      reason: turn.reasons[0]!,
      promptTokens: ids.length,
      reusedTokens: turn.reusedTokens,
      newTokens,
      prefillMs: turn.prefillMs,
      decodeMs: turn.decodeMs,
      forgottenTurns: this.#forgotten - forgotten,
    };
  }

  /** Compiles what an answer needs, so that the first one does not wait for it. */
  async prepare(): Promise<void> {
    await this.#conversation.prepare(this.#active);
  }

  /** Frees the cache. */
  async close(): Promise<void> {
    await this.#conversation.forget();
  }

  async #plain(text: string): Promise<readonly number[]> {
    const { tokenizer } = this.#options;
    const ids = [...(await tokenizer.encode(text))];
    if (tokenizer.addsBos && tokenizer.bosId !== undefined) ids.unshift(tokenizer.bosId);
    this.#checkFits(ids.length);
    return ids;
  }

  /** The question after as many of the last turns as there is room for. */
  async #fitting(template: ChatTemplate, question: string): Promise<readonly number[]> {
    const { language, tokenizer, enableThinking, generation = {} } = this.#options;
    const maxPositions = language.positionsWith(this.#active);
    const wanted = Math.min(generation.maxNewTokens ?? Infinity, Math.floor(maxPositions * FREE_FOR_ANSWER));
    for (;;) {
      const messages: Message[] = [
        ...this.#systemMessage(),
        ...messagesOf(this.#turns.slice(this.#forgotten)),
        { role: "user", content: question },
      ];
      const text = template.render(messages, {
        addGenerationPrompt: true,
        ...(enableThinking === undefined ? {} : { enableThinking }),
      });
      const ids = await tokenizer.encode(text);
      const isAlone = this.#forgotten === this.#turns.length;
      if (ids.length + wanted <= maxPositions || isAlone) {
        this.#checkFits(ids.length);
        return [...ids];
      }
      this.#forgotten++;
    }
  }

  #checkFits(tokens: number): void {
    const maxPositions = this.#options.language.positionsWith(this.#active);
    if (tokens <= maxPositions) return;
    throw new DataError({
      where: "chat",
      what: "the question alone is longer than what the model can read",
      got: `${tokens} tokens`,
      expected: `at most ${maxPositions}`,
      hint: "shorten it, or the system prompt",
    });
  }

  #systemMessage(): Message[] {
    return this.#system === undefined ? [] : [{ role: "system", content: this.#system }];
  }
}

function messagesOf(turns: readonly Turn[]): Message[] {
  return turns.flatMap(({ question, answer }): Message[] => [
    { role: "user", content: question },
    { role: "assistant", content: answer },
  ]);
}
