import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { TextStream } from "../../../src/data/text/text-stream.ts";
import { loadTokenizer } from "../../../src/data/text/tokenizer.ts";
import { byteTokenizer, SHARED_DATA } from "./fixtures.ts";

test("a character comes when its last byte does", async (t) => {
  const tokenizer = await byteTokenizer(t);
  const stream = new TextStream(tokenizer);
  const pieces = [...(await tokenizer.encode("aé🚀b"))].map((id) => stream.push(id));
  assert.deepEqual(pieces, ["a", "", "é", "", "", "", "🚀", "b"]);
  assert.equal(stream.end(), "");
});

test("bytes that never become a character come at the end, and the stream begins anew", async (t) => {
  const tokenizer = await byteTokenizer(t);
  const stream = new TextStream(tokenizer);
  assert.deepEqual([stream.push(0xf0), stream.push(0x9f)], ["", ""]);
  assert.equal(stream.end(), tokenizer.decode([0xf0, 0x9f]));
  assert.deepEqual([stream.push(0xf0), stream.push(0x41), stream.end()], ["", "\uFFFDA", ""]);
});

test("special tokens are left out if so wanted", async (t) => {
  const tokenizer = await byteTokenizer(t);
  const ids = await tokenizer.encode("a<|im_end|>b");
  const textOf = (skipSpecialTokens: boolean): string => {
    const stream = new TextStream(tokenizer, { skipSpecialTokens });
    return [...ids].map((id) => stream.push(id)).join("") + stream.end();
  };
  assert.deepEqual([textOf(true), textOf(false)], ["ab", "a<|im_end|>b"]);
});

const tinystories = join(SHARED_DATA, "tinystories-656k");
test("spaces between words stay", { skip: existsSync(tinystories) ? false : `no ${tinystories}` }, async () => {
  const tokenizer = await loadTokenizer(tinystories);
  const ids = [1, ...(await tokenizer.encode("Once upon a time, Lily had  a cat.\n\nEnd")), 2];
  const stream = new TextStream(tokenizer, { skipSpecialTokens: true });
  const text = ids.map((id) => stream.push(id)).join("") + stream.end();
  assert.equal(text, tokenizer.decode(ids, { skipSpecialTokens: true }));
  assert.equal(text, "Once upon a time, Lily had  a cat.\n\nEnd");
});
