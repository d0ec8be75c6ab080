/** A tokenizer whose tokens are the bytes of UTF-8, so that a test can say which tokens a text has. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestContext } from "node:test";
import type { Message, Sample } from "../../../src/data/sample.ts";
import { loadTokenizer } from "../../../src/data/text/tokenizer.ts";
import type { Tokenizer } from "../../../src/data/text/tokenizer.ts";

export const SHARED_DATA =
  process.env["LOWRANK_TEST_DATA"] ?? fileURLToPath(new URL("../../../../../shared/data", import.meta.url));

/** Ids from 256 on. */
export const SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "</s>", "<s>", "<think>", "</think>", "<|end|>"];

/** GPT-2's characters for bytes: those that can be seen stand for themselves, the others are counted up from 256. */
export function byteAlphabet(): string[] {
  const isSeen = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isSeen(byte) ? byte : next++));
}

export function byteDefinition(): Record<string, unknown> {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false };
  return {
    version: "1.0",
    truncation: { direction: "Right", max_length: 4, strategy: "LongestFirst", stride: 0 },
    padding: null,
    added_tokens: SPECIAL.map((content, i) => ({
      id: 256 + i,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: !content.includes("think"),
    })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(byteAlphabet().map((character, byte) => [character, byte])),
      merges: [],
    },
  };
}

/** A folder with these files; what is not text becomes JSON. Gone after the test. */
export async function folderOf(t: TestContext, files: Readonly<Record<string, unknown>>): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "lowrank-text-"));
  t.after(() => rm(dir, { recursive: true }));
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(dir, name), typeof content === "string" ? content : JSON.stringify(content));
  }
  return dir;
}

/** @param config `tokenizer_config.json`; the end of text is `<|endoftext|>` unless it says otherwise */
export async function byteTokenizer(
  t: TestContext,
  config: Readonly<Record<string, unknown>> = {},
  files: Readonly<Record<string, unknown>> = {},
): Promise<Tokenizer> {
  const dir = await folderOf(t, {
    "tokenizer.json": byteDefinition(),
    "tokenizer_config.json": { eos_token: "<|endoftext|>", ...config },
    ...files,
  });
  return loadTokenizer(dir);
}

const SOURCE = { dataset: "d", file: "d.jsonl", line: 7 };

/** Messages of `user`, `assistant`, … in turn. */
export function chat(...contents: readonly string[]): Sample & { kind: "chat" } {
  const messages = contents.map((content, i): Message => ({ role: i % 2 === 0 ? "user" : "assistant", content }));
  return { kind: "chat", messages, source: SOURCE };
}

export function plain(text: string): Sample & { kind: "text" } {
  return { kind: "text", text, source: SOURCE };
}
