/**
 * The two programs that turn text into tokens: the native package `tokenizers`, and `@huggingface/tokenizers`, which is
 * JavaScript alone, for platforms that the first has no binary for.
 */
import type { Decoder, Tokenizer as NativeTokenizer } from "tokenizers";
import { ConfigError, FormatError } from "../../errors.ts";
import type { AddedToken, JsonRecord } from "./tokenizer-files.ts";

/** What is used of `@huggingface/tokenizers`, whose own types do not resolve for ES modules (0.2). */
interface JsTokenizer {
  encode(
    text: string,
    options: { add_special_tokens: boolean; text_pair?: string; return_token_type_ids?: boolean },
  ): { ids: readonly number[]; token_type_ids?: readonly number[] };
  decode(ids: readonly number[], options: { skip_special_tokens: boolean }): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
}

interface JsModule {
  readonly Tokenizer: new (definition: JsonRecord, config: JsonRecord) => JsTokenizer;
}

interface NativeModule {
  readonly Tokenizer: { fromString(definition: string): NativeTokenizer };
}

export type BackendName = "native" | "js";

export interface TokenizerBackend {
  readonly name: BackendName;
  encode(text: string, addSpecialTokens: boolean): Promise<Int32Array>;
  encodeBatch(texts: readonly string[], addSpecialTokens: boolean): Promise<Int32Array[]>;
  /** One text or two with their special tokens, and of each token whether it belongs to the second (1) or not (0). */
  encodePair(text: string, pair: string | undefined): Promise<{ ids: Int32Array; types: Int32Array }>;
  decode(ids: readonly number[], skipSpecialTokens: boolean): string;
  idOf(token: string): number | undefined;
  tokenOf(id: number): string | undefined;
}

/**
 * The native program, or the other one where that cannot be loaded or where the environment has `LOWRANK_TOKENIZER=js`.
 * @param definition content of `tokenizer.json`
 * @param added the tokens that it adds to the vocabulary, which are never split
 * @throws FormatError when the definition is refused, ConfigError when `LOWRANK_TOKENIZER` cannot be honoured
 */
export async function openBackend(
  where: string,
  definition: JsonRecord,
  added: readonly AddedToken[],
): Promise<TokenizerBackend> {
  const wanted = process.env["LOWRANK_TOKENIZER"] ?? "";
  if (!["", "native", "js"].includes(wanted)) {
    throw new ConfigError({
      where: "LOWRANK_TOKENIZER",
      what: "no such tokenizer",
      got: wanted,
      expected: "native or js",
    });
  }
  const native = wanted === "js" ? undefined : await importNative(wanted === "native");
  try {
    if (native !== undefined) return nativeBackend(native.Tokenizer.fromString(JSON.stringify(definition)), added);
    const { Tokenizer } = (await import("@huggingface/tokenizers")) as unknown as JsModule;
    return jsBackend(new Tokenizer(definition, { clean_up_tokenization_spaces: false }), added);
  } catch (cause) {
    throw new FormatError({
      where,
      what: `the tokenizer cannot be built: ${(cause as Error).message}`,
      hint: "fetch the file again; or save it with a recent transformers, which brings old formats up to date",
      cause,
    });
  }
}

async function importNative(isRequired: boolean): Promise<NativeModule | undefined> {
  try {
    return await import("tokenizers");
  } catch (cause) {
    if (!isRequired) return undefined;
    throw new ConfigError({
      where: "LOWRANK_TOKENIZER",
      what: `the native tokenizer cannot be loaded on ${process.platform} ${process.arch}: ${(cause as Error).message}`,
      hint: "unset the variable: the tokenizer in JavaScript is used then",
      cause,
    });
  }
}

function shown(added: readonly AddedToken[]): (id: number) => boolean {
  const special = new Set(added.filter((token) => token.special).map(({ id }) => id));
  return (id) => !special.has(id);
}

function nativeBackend(tokenizer: NativeTokenizer, added: readonly AddedToken[]): TokenizerBackend {
  // Either would change what is trained on without a word; lengths are ours to decide.
  tokenizer.disableTruncation();
  tokenizer.disablePadding();
  const isShown = shown(added);
  const contents = new Map(added.map(({ id, content }) => [id, content]));
  // Its own decode runs on another thread and so gives a promise, too late for text that is streamed.
  const decoder: Decoder | null = tokenizer.getDecoder();
  return {
    name: "native",
    encode: async (text, addSpecialTokens) =>
      Int32Array.from((await tokenizer.encode(text, null, { addSpecialTokens })).getIds()),
    encodeBatch: async (texts, addSpecialTokens) =>
      (await tokenizer.encodeBatch([...texts], { addSpecialTokens })).map((encoding) =>
        Int32Array.from(encoding.getIds()),
      ),
    encodePair: async (text, pair) => {
      const encoding = await tokenizer.encode(text, pair ?? null, { addSpecialTokens: true });
      return { ids: Int32Array.from(encoding.getIds()), types: Int32Array.from(encoding.getTypeIds()) };
    },
    decode: (ids, skipSpecialTokens) => {
      const kept = skipSpecialTokens ? ids.filter(isShown) : ids;
      const tokens = kept.map((id) => tokenizer.idToToken(id)).filter((token) => token !== null);
      if (tokens.length === 0) return "";
      return decoder === null ? tokens.join(" ") : decoder.decode(tokens);
    },
    idOf: (token) => tokenizer.tokenToId(token) ?? undefined,
    // The program gives some of its own tokens as its normaliser would write them, with a space before.
    tokenOf: (id) => contents.get(id) ?? tokenizer.idToToken(id) ?? undefined,
  };
}

function jsBackend(tokenizer: JsTokenizer, added: readonly AddedToken[]): TokenizerBackend {
  const isShown = shown(added);
  const encode = (text: string, addSpecialTokens: boolean): Int32Array =>
    Int32Array.from(tokenizer.encode(text, { add_special_tokens: addSpecialTokens }).ids);
  return {
    name: "js",
    encode: async (text, addSpecialTokens) => encode(text, addSpecialTokens),
    encodeBatch: async (texts, addSpecialTokens) => texts.map((text) => encode(text, addSpecialTokens)),
    encodePair: async (text, pair) => {
      const options = { add_special_tokens: true, return_token_type_ids: true };
      const { ids, token_type_ids: types = [] } = tokenizer.encode(text, {
        ...options,
        ...(pair === undefined ? {} : { text_pair: pair }),
      });
      return { ids: Int32Array.from(ids), types: Int32Array.from(ids, (_, i) => types[i] ?? 0) };
    },
    decode: (ids, skipSpecialTokens) => {
      const known = ids.filter((id) => tokenizer.id_to_token(id) !== undefined);
      const kept = skipSpecialTokens ? known.filter(isShown) : known;
      return kept.length === 0 ? "" : tokenizer.decode(kept, { skip_special_tokens: false });
    },
    idOf: (token) => tokenizer.token_to_id(token),
    tokenOf: (id) => tokenizer.id_to_token(id),
  };
}
