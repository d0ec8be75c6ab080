/**
 * The files of a tokenizer as Hugging Face folders have them, brought together: `tokenizer.json`, what surrounds it, and
 * the chat templates in each of the places where they are kept.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { DataError, FormatError } from "../../errors.ts";

/** A JSON object of which nothing is known yet. */
export type JsonRecord = Readonly<Record<string, unknown>>;

/** Files that belong to a tokenizer, in whatever form; they travel with every model that is written. */
const TOKENIZER_FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "vocab.bpe",
  "merges.txt",
  "vocab.txt",
  "tokenizer.model",
  "spiece.model",
  "sentencepiece.bpe.model",
  "chat_template.jinja",
  "chat_template.json",
  "generation_config.json",
];

export interface TokenizerFiles {
  readonly dir: string;
  /** The content of `tokenizer.json`, or the same made of a vocabulary and a list of merges. */
  readonly definition: JsonRecord;
  /** `tokenizer_config.json`; empty where there is none. */
  readonly config: JsonRecord;
  /** `special_tokens_map.json`, which older folders have; empty where there is none. */
  readonly specialTokens: JsonRecord;
  /** `generation_config.json`, or what `config.json` has of it; empty where there is neither. */
  readonly generation: JsonRecord;
  /** Jinja sources by name; `default` is the one that is used unless there is a reason for another. */
  readonly chatTemplates: Readonly<Record<string, string>>;
  /** Names of the files in `dir` that a copy of the tokenizer needs. */
  readonly files: readonly string[];
}

/** @throws DataError when the folder has no tokenizer, or one in a form that is not read; FormatError for broken JSON */
export async function readTokenizerFiles(dir: string): Promise<TokenizerFiles> {
  const present = new Set(await namesIn(dir));
  const read = (name: string): Promise<JsonRecord> =>
    present.has(name) ? readJson(join(dir, name)) : Promise.resolve({});
  const config = await read("tokenizer_config.json");
  const model = await read("config.json");
  const definition = present.has("tokenizer.json")
    ? await read("tokenizer.json")
    : await definitionFromMerges(dir, present, config, model, await read("added_tokens.json"));
  return {
    dir,
    definition: withAddedTokens(definition, config),
    config,
    specialTokens: await read("special_tokens_map.json"),
    generation: { ...model, ...(await read("generation_config.json")) },
    chatTemplates: await readTemplates(dir, present, config, await read("chat_template.json")),
    files: TOKENIZER_FILES.filter((name) => present.has(name)),
  };
}

/** A token beside the vocabulary, which is never split. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Whether it is markup rather than text. */
  readonly special: boolean;
}

export function addedTokens(definition: JsonRecord): AddedToken[] {
  const list = definition["added_tokens"];
  return (Array.isArray(list) ? list : [])
    .map(asRecord)
    .map(({ id, content, special }) => ({ id: Number(id), content: String(content), special: special === true }));
}

/** The value as an object, or an empty one. */
export function asRecord(value: unknown): JsonRecord {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonRecord) : {};
}

const PLAIN_TOKEN = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: false };

/** Tokens that only `tokenizer_config.json` knows are part of the tokenizer all the same. */
function withAddedTokens(definition: JsonRecord, config: JsonRecord): JsonRecord {
  const list = Array.isArray(definition["added_tokens"]) ? (definition["added_tokens"] as unknown[]) : [];
  const have = new Set(addedTokens(definition).map(({ content }) => content));
  const missing = Object.entries(asRecord(config["added_tokens_decoder"]))
    .map(([id, token]) => ({ ...PLAIN_TOKEN, content: "", ...asRecord(token), id: Number(id) }))
    .filter(({ content }) => content !== "" && !have.has(content));
  return missing.length === 0 ? definition : { ...definition, added_tokens: [...list, ...missing] };
}

async function namesIn(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (cause) {
    throw new DataError({
      where: dir,
      what: "cannot read the folder of the tokenizer",
      got: (cause as NodeJS.ErrnoException).code,
      expected: "a folder with tokenizer.json",
      cause,
    });
  }
}

async function readJson(path: string): Promise<JsonRecord> {
  const text = await readFile(path, "utf8");
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (cause) {
    throw new FormatError({
      where: path,
      what: `not JSON: ${(cause as Error).message}`,
      got: `${Buffer.byteLength(text)} bytes`,
      hint: "the download may be incomplete: fetch the file again",
      cause,
    });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FormatError({
      where: path,
      what: "not a JSON object",
      got: Array.isArray(value) ? "a list" : typeof value,
    });
  }
  return value as JsonRecord;
}

/** A file of its own goes before an entry in the configuration, as in transformers. */
async function readTemplates(
  dir: string,
  present: ReadonlySet<string>,
  config: JsonRecord,
  processor: JsonRecord,
): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const { chat_template: entry } of [processor, config]) {
    if (typeof entry === "string") found["default"] = entry;
    if (!Array.isArray(entry)) continue;
    for (const { name, template } of entry.map(asRecord)) {
      if (typeof name === "string" && typeof template === "string") found[name] = template;
    }
  }
  if (present.has("chat_template.jinja")) {
    found["default"] = await readFile(join(dir, "chat_template.jinja"), "utf8");
  }
  if (present.has("additional_chat_templates")) {
    const folder = join(dir, "additional_chat_templates");
    for (const name of await namesIn(folder)) {
      if (name.endsWith(".jinja")) found[name.slice(0, -".jinja".length)] = await readFile(join(folder, name), "utf8");
    }
  }
  return found;
}

/** How Qwen2 splits text before merging; GPT-2's pattern is the one that byte level tokenizers have of themselves. */
const QWEN2_PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** GPT-2 and Qwen2 come as `vocab.json` and `merges.txt` too; what those leave unsaid is known by the class's name. */
async function definitionFromMerges(
  dir: string,
  present: ReadonlySet<string>,
  config: JsonRecord,
  model: JsonRecord,
  addedTokens: JsonRecord,
): Promise<JsonRecord> {
  const merges = ["merges.txt", "vocab.bpe"].find((name) => present.has(name));
  const named = config["tokenizer_class"] ?? model["model_type"] ?? "gpt2";
  const kind = /^(?:gpt2|qwen2)/i.exec(typeof named === "string" ? named : "")?.[0].toLowerCase();
  if (!present.has("vocab.json") || merges === undefined || kind === undefined) {
    const other = TOKENIZER_FILES.filter((name) => present.has(name) && !name.includes("config"));
    throw new DataError({
      where: dir,
      what: "no tokenizer.json",
      got: other.length === 0 ? "no file of a tokenizer" : other.join(", "),
      expected: "tokenizer.json, or vocab.json and merges.txt of GPT-2 or Qwen2",
      hint:
        other.length === 0
          ? "copy the tokenizer of the base model into the folder"
          : `write one with transformers: AutoTokenizer.from_pretrained("${dir}").save_pretrained("${dir}")`,
    });
  }
  const vocab = await readJson(join(dir, "vocab.json"));
  const lines = (await readFile(join(dir, merges), "utf8")).split(/\r?\n/);
  const isQwen = kind === "qwen2";
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false };
  const split = { type: "Split", pattern: { Regex: QWEN2_PATTERN }, behavior: "Isolated", invert: false };
  const preTokenizer = isQwen
    ? { type: "Sequence", pretokenizers: [split, { ...byteLevel, use_regex: false }] }
    : { ...byteLevel, use_regex: true };
  const special = vocab["<|endoftext|>"];
  const known = special === undefined ? [] : [["<|endoftext|>", special] as const];
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [...known, ...Object.entries(addedTokens)].map(([content, id]) => ({
      ...PLAIN_TOKEN,
      id,
      content,
      special: true,
    })),
    normalizer: isQwen ? { type: "NFC" } : null,
    pre_tokenizer: preTokenizer,
    post_processor: { ...byteLevel, use_regex: true },
    decoder: { ...byteLevel, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      byte_fallback: false,
      vocab,
      // The first line names the version of the format.
      merges: lines.filter((line, i) => line !== "" && !(i === 0 && line.startsWith("#version"))),
    },
  };
}
