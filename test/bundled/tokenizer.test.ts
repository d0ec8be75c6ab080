import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import * as jsTokenizers from "@huggingface/tokenizers";
import { Tokenizer as NativeTokenizer } from "tokenizers";
import { byteLetters, countWords, trainBpe } from "../../scripts/bundled/bpe.ts";
import { documents } from "../../scripts/bundled/documents.ts";
import { TOKENIZER } from "../../scripts/bundled/tokenizer-settings.ts";
import { modelFiles, SPECIAL_TOKENS, tokenizerFiles } from "../../scripts/bundled/tokenizer-files.ts";

const FOLDER = new URL("../../../bundled/model/", import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, FOLDER), "utf8");

describe("byte-pair encoding", () => {
  test("merges the most frequent pair first", () => {
    const { merges } = trainBpe(
      new Map([
        ["aab", 5],
        ["ab", 2],
        ["cd", 6],
      ]),
      258,
    );
    assert.deepEqual(merges, [
      ["a", "b"],
      ["c", "d"],
    ]);
  });

  test("a tie goes to the lower ids, whatever the order of the words", () => {
    const one = trainBpe(
      new Map([
        ["xy", 3],
        ["ab", 3],
      ]),
      257,
    );
    const other = trainBpe(
      new Map([
        ["ab", 3],
        ["xy", 3],
      ]),
      257,
    );
    assert.deepEqual(one.merges, [["a", "b"]]);
    assert.deepEqual(other, one);
  });

  test("stops when nothing occurs twice", () => {
    assert.equal(trainBpe(new Map([["abc", 1]]), 300).tokens.length, 256);
  });

  test("three equal letters are merged from the left, without overlap", () => {
    const { merges } = trainBpe(new Map([["aaa", 4]]), 258);
    assert.deepEqual(merges, [
      ["a", "a"],
      ["aa", "a"],
    ]);
  });

  test("every byte has a letter of its own, the space that of GPT-2", () => {
    assert.equal(new Set(byteLetters()).size, 256);
    assert.equal(byteLetters()[0x20], "Ġ");
    assert.equal(byteLetters()[0x0a], "Ċ");
  });
});

describe("bundled tokenizer", () => {
  test("the committed files are what the trainer makes of the generated text", () => {
    const { seed, megabytes, vocabulary } = TOKENIZER;
    const model = trainBpe(countWords(documents(seed, megabytes * 1e6)), vocabulary - SPECIAL_TOKENS.length);
    const files = { ...tokenizerFiles(model), ...modelFiles(vocabulary) };
    for (const [name, text] of Object.entries(files)) assert.equal(read(name), text, name);
  });

  const json = JSON.parse(read("tokenizer.json")) as Record<string, unknown>;
  // The package's own types cannot be resolved from an ES module.
  const { Tokenizer } = jsTokenizers as unknown as {
    Tokenizer: new (json: unknown, config: unknown) => { encode(text: string): { ids: number[] } };
  };
  const pure = new Tokenizer(json, JSON.parse(read("tokenizer_config.json")) as Record<string, unknown>);
  const native = NativeTokenizer.fromString(read("tokenizer.json"));
  const texts = [
    "What is a baker? A baker is a person who bakes bread.",
    "I'LL we've don't 1234 3.14 ... \t tabs\r\n\r\n  and   spaces  ",
    "Grüße, 世界! 🙂 👩‍👩‍👧 हिन्दी العربية \u0000\u007f\u00a0\u200b",
    "<|im_start|>user\nAhoy!<|im_end|>\n<|endoftext|>",
  ];

  test("any text comes back, and both tokenizer packages agree", async () => {
    for (const text of texts) {
      const ids = (await native.encode(text, null, { addSpecialTokens: false })).getIds();
      assert.deepEqual([...pure.encode(text).ids], ids, text);
      assert.equal(await native.decode(ids, false), text.normalize("NFC"));
    }
  });

  test("the special tokens have the last ids, and common words one token", () => {
    const { ids } = pure.encode("<|endoftext|><|im_start|><|im_end|>");
    assert.deepEqual([...ids], [TOKENIZER.vocabulary - 3, TOKENIZER.vocabulary - 2, TOKENIZER.vocabulary - 1]);
    assert.equal(pure.encode(" lighthouse").ids.length, 1);
  });
});
