/** A tokenizer as it lies in the folder of a model, with the tokens that have a meaning and the model's chat template. */
import { DataError } from "../../errors.ts";
import { compileTemplate } from "./chat-template.ts";
import { endOfTurn } from "./end-of-turn.ts";
import { choosePad } from "./pad-token.ts";
import type { PadChoice } from "./pad-token.ts";
import { openBackend } from "./tokenizer-backend.ts";
import type { BackendName } from "./tokenizer-backend.ts";
import { addedTokens, asRecord, readTokenizerFiles } from "./tokenizer-files.ts";
import type { JsonRecord, TokenizerFiles } from "./tokenizer-files.ts";

export interface EncodeOptions {
  /** What the tokenizer puts around a text, such as the token at its beginning. Default false: chat templates write those. */
  readonly addSpecialTokens?: boolean;
}

export interface DecodeOptions {
  /** Leave special tokens out of the text. Default false. */
  readonly skipSpecialTokens?: boolean;
}

export interface Tokenizer {
  /** The folder it was read from. */
  readonly dir: string;
  readonly backend: BackendName;
  encode(text: string, options?: EncodeOptions): Promise<Int32Array>;
  encodeBatch(texts: readonly string[], options?: EncodeOptions): Promise<Int32Array[]>;
  /** One text or two with their special tokens, as models read them whole; `types` is 1 for tokens of the second, where it is marked. */
  encodePair(text: string, pair?: string): Promise<{ readonly ids: Int32Array; readonly types: Int32Array }>;
  /** Ids that no token has are left out. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /** The largest id, plus one. A model's table of embeddings may have more rows, never fewer. */
  readonly vocabSize: number;
  idOf(token: string): number | undefined;
  tokenOf(id: number): string | undefined;
  /** Whether `skipSpecialTokens` leaves it out. */
  isSpecial(id: number): boolean;
  readonly eosToken: string | undefined;
  readonly eosId: number | undefined;
  readonly bosToken: string | undefined;
  readonly bosId: number | undefined;
  readonly padToken: string;
  readonly padId: number;
  /** Which token pads, and why that one. */
  readonly pad: PadChoice;
  /** Tokens that end an answer: the end of text, those of `generation_config.json`, the end of a turn of the template. */
  readonly stopIds: readonly number[];
  /** Whether texts outside a chat begin with {@link bosToken}. */
  readonly addsBos: boolean;
  /** Whether a text is read as if a space were before it, as in Llama 2: a piece from the middle needs care. */
  readonly prependsSpace: boolean;
  /** Special tokens by the names that templates have for them, such as `eos_token`. */
  readonly specialTokens: Readonly<Record<string, string>>;
  /** Jinja source of the model's own chat template. */
  readonly chatTemplate?: string;
  /** Jinja source that goes in its place when there are tools; only where the model has one of its own for that. */
  readonly toolChatTemplate?: string;
  /** Names of the files in `dir` that are copied along with a model. */
  readonly files: readonly string[];
}

/**
 * Reads the tokenizer in `dir`: `tokenizer.json`, or `vocab.json` and `merges.txt` of GPT-2 and Qwen2. Nothing is
 * downloaded.
 * @throws DataError when the folder has none, or only one in a form that is not read; FormatError for a file that is
 *   broken; ConfigError when `LOWRANK_TOKENIZER` cannot be honoured or the chat template is no Jinja
 */
export async function loadTokenizer(dir: string): Promise<Tokenizer> {
  const files = await readTokenizerFiles(dir);
  const { definition } = files;
  const added = addedTokens(definition);
  const specialIds = new Set(added.filter(({ special }) => special).map(({ id }) => id));
  const backend = await openBackend(dir, definition, added);
  const tokens = specialTokensOf(files, (id) => backend.tokenOf(id));
  const known = Object.fromEntries(Object.entries(tokens).filter(([, token]) => backend.idOf(token) !== undefined));
  // A file of GPT-2's time has no word on it, and its class does: the end of a text is the only token that it adds.
  const eosToken = known["eos_token"] ?? (backend.idOf("<|endoftext|>") === undefined ? undefined : "<|endoftext|>");
  const specialTokens = eosToken === undefined ? tokens : { ...tokens, eos_token: eosToken };
  const bosToken = known["bos_token"];
  const chatTemplate = files.chatTemplates["default"];
  const toolChatTemplate = files.chatTemplates["tool_use"];
  const turnEnd =
    chatTemplate === undefined
      ? undefined
      : endOfTurn(
          compileTemplate(`chat template of ${dir}`, chatTemplate, specialTokens),
          added.map(({ content }) => content),
        );
  const stopIds = [eosToken, ...generationStops(files), turnEnd]
    .map((token) => (typeof token === "string" ? backend.idOf(token) : token))
    .filter((id) => id !== undefined);
  const pad = choosePad(dir, tokens["pad_token"], new Set(stopIds), eosToken, (token) => backend.idOf(token));
  const first = (await backend.encode("a", false))[0];
  const begins = await backend.encode("a", true);
  const bosId = bosToken === undefined ? undefined : backend.idOf(bosToken);
  return {
    dir,
    backend: backend.name,
    encode: (text, { addSpecialTokens = false } = {}) => backend.encode(text, addSpecialTokens),
    encodeBatch: (texts, { addSpecialTokens = false } = {}) => backend.encodeBatch(texts, addSpecialTokens),
    encodePair: (text, pair) => backend.encodePair(text, pair),
    decode: (ids, { skipSpecialTokens = false } = {}) => backend.decode(Array.from(ids), skipSpecialTokens),
    vocabSize: vocabSizeOf(dir, definition),
    idOf: (token) => backend.idOf(token),
    tokenOf: (id) => backend.tokenOf(id),
    isSpecial: (id) => specialIds.has(id),
    eosToken,
    eosId: eosToken === undefined ? undefined : backend.idOf(eosToken),
    bosToken,
    bosId,
    padToken: pad.token,
    padId: pad.id,
    pad,
    stopIds: [...new Set(stopIds)],
    addsBos: bosId !== undefined && (files.config["add_bos_token"] === true || begins[0] === bosId),
    prependsSpace: first !== undefined && /^[\u2581\u0120]/.test(backend.tokenOf(first) ?? ""),
    specialTokens,
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
    ...(toolChatTemplate === undefined ? {} : { toolChatTemplate }),
    files: files.files,
  };
}

/** `tokenizer_config.json` goes before the older file, and a name goes before a number. */
function specialTokensOf(files: TokenizerFiles, tokenOf: (id: number) => string | undefined): Record<string, string> {
  const found: Record<string, string> = {};
  for (const record of [files.specialTokens, files.config]) {
    for (const [name, value] of Object.entries(record)) {
      const content = typeof value === "string" ? value : asRecord(value)["content"];
      if (name.endsWith("_token") && typeof content === "string") found[name] = content;
    }
  }
  for (const kind of ["eos", "bos", "pad"]) {
    const id = [files.generation[`${kind}_token_id`]].flat()[0];
    const token = typeof id === "number" ? tokenOf(id) : undefined;
    if (token !== undefined) found[`${kind}_token`] ??= token;
  }
  return found;
}

function generationStops({ generation }: TokenizerFiles): number[] {
  return [generation["eos_token_id"]].flat().filter((id) => typeof id === "number");
}

function vocabSizeOf(where: string, definition: JsonRecord): number {
  const vocab = asRecord(definition["model"])["vocab"];
  let largest = -1;
  for (const { id } of addedTokens(definition)) largest = Math.max(largest, id);
  if (Array.isArray(vocab)) largest = Math.max(largest, vocab.length - 1);
  else for (const id of Object.values(asRecord(vocab))) largest = Math.max(largest, Number(id));
  if (largest < 0) throw new DataError({ where, what: "the tokenizer has no tokens" });
  return largest + 1;
}
