import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import type { TestContext } from "node:test";
import { loadTokenizer } from "../../../src/data/text/tokenizer.ts";
import { ConfigError, DataError, FormatError } from "../../../src/errors.ts";
import { byteAlphabet, byteDefinition, byteTokenizer, folderOf, SHARED_DATA, SPECIAL } from "./fixtures.ts";

interface GoldenCase {
  readonly text: string;
  readonly ids: readonly number[];
  readonly ids_no_special: readonly number[];
  readonly decoded: string;
}

const GOLDEN = join(SHARED_DATA, "tokenizers/golden_hf_tokenizers.json");
const FOLDERS = { "tinystories-656k": "tinystories-656k", minimind: "tokenizers/minimind", gpt2: "tokenizers/gpt2" };
const BACKENDS = ["native", "js"] as const;
const TEXTS = ["", "Hello, world", "  spaces \n\n\ttabs", "日本語 🚀🔥 café", "a<|im_end|>\nb</s>", "it's 3.14159"];

function useBackend(t: TestContext, name: (typeof BACKENDS)[number]): void {
  const before = process.env["LOWRANK_TOKENIZER"];
  process.env["LOWRANK_TOKENIZER"] = name;
  t.after(() => {
    if (before === undefined) delete process.env["LOWRANK_TOKENIZER"];
    else process.env["LOWRANK_TOKENIZER"] = before;
  });
}

suite("tokens are those of the reference implementation", { skip: existsSync(GOLDEN) ? false : `no ${GOLDEN}` }, () => {
  for (const backend of BACKENDS) {
    for (const [name, folder] of Object.entries(FOLDERS)) {
      test(`${name}, ${backend}`, async (t) => {
        useBackend(t, backend);
        const tokenizer = await loadTokenizer(join(SHARED_DATA, folder));
        assert.equal(tokenizer.backend, backend);
        const { cases } = JSON.parse(readFileSync(GOLDEN, "utf8")) as { cases: Record<string, GoldenCase[]> };
        for (const { text, ids, ids_no_special: bare, decoded } of cases[name]!) {
          assert.deepEqual([...(await tokenizer.encode(text))], bare, text);
          assert.deepEqual([...(await tokenizer.encode(text, { addSpecialTokens: true }))], ids, text);
          // The program in JavaScript writes no space before <unk>.
          const shown = decoded.replaceAll(/ *<unk>/g, "<unk>");
          const ours = tokenizer.decode(bare, {
            skipSpecialTokens: !decoded.includes("<unk>") && name !== "tinystories-656k",
          });
          assert.equal(ours.replaceAll(/ *<unk>/g, "<unk>"), shown, text);
        }
        const texts = cases[name]!.map(({ text }) => text);
        const batch = await tokenizer.encodeBatch(texts);
        assert.deepEqual(
          batch.map((ids) => [...ids]),
          cases[name]!.map((wanted) => wanted.ids_no_special),
        );
      });
    }
  }
});

suite("a tokenizer's folder", () => {
  test("both programs give the same, and neither cuts", async (t) => {
    const dir = await folderOf(t, { "tokenizer.json": byteDefinition() });
    useBackend(t, "native");
    const native = await loadTokenizer(dir);
    useBackend(t, "js");
    const js = await loadTokenizer(dir);
    assert.deepEqual([native.backend, js.backend], BACKENDS);
    for (const text of TEXTS) {
      const ids = await native.encode(text);
      assert.deepEqual(ids, await js.encode(text), text);
      assert.equal(native.decode(ids), text);
      assert.equal(js.decode(ids), text);
      assert.equal(native.decode(ids, { skipSpecialTokens: true }), js.decode(ids, { skipSpecialTokens: true }));
    }
    assert.deepEqual([...(await native.encode("é</s>"))], [0xc3, 0xa9, 259]);
  });

  test("special tokens, from each of the places that name them", async (t) => {
    const tokenizer = await byteTokenizer(
      t,
      { eos_token: { content: "</s>", lstrip: false }, pad_token: null, add_bos_token: true },
      {
        "special_tokens_map.json": { bos_token: "<s>", eos_token: "<|end|>" },
        "generation_config.json": { eos_token_id: [263, 256] },
      },
    );
    const { eosToken, eosId, bosToken, bosId, stopIds, addsBos, vocabSize } = tokenizer;
    assert.deepEqual([eosToken, eosId, bosToken, bosId], ["</s>", 259, "<s>", 260]);
    assert.deepEqual([stopIds, addsBos, vocabSize], [[259, 263, 256], true, 256 + SPECIAL.length]);
    assert.deepEqual(
      [tokenizer.idOf("<s>"), tokenizer.idOf("no"), tokenizer.tokenOf(263)],
      [260, undefined, "<|end|>"],
    );
    assert.deepEqual(
      [tokenizer.isSpecial(259), tokenizer.isSpecial(261), tokenizer.isSpecial(65)],
      [true, false, false],
    );
    assert.deepEqual(tokenizer.files, [
      "tokenizer.json",
      "tokenizer_config.json",
      "special_tokens_map.json",
      "generation_config.json",
    ]);
  });

  test("the end of text may be known by its number alone, as in GPT-2's folder", async (t) => {
    const dir = await folderOf(t, { "tokenizer.json": byteDefinition(), "config.json": { eos_token_id: 259 } });
    assert.deepEqual((await loadTokenizer(dir)).stopIds, [259]);
  });

  test("the token that the chat template ends a turn with stops", async (t) => {
    const tokenizer = await byteTokenizer(t, {
      chat_template: "{% for m in messages %}{{ m.role ~ m.content ~ ' <|end|>' }}{% endfor %}",
    });
    assert.deepEqual([tokenizer.eosId, tokenizer.stopIds], [256, [256, 263]]);
  });

  test("padding is not what ends an answer, if there is another token", async (t) => {
    const own = await byteTokenizer(t, { eos_token: "</s>", pad_token: "<|endoftext|>" });
    assert.deepEqual([own.padId, own.pad.isStop, own.pad.why], [256, false, "the tokenizer's own"]);
    const other = await byteTokenizer(t, { eos_token: "</s>", pad_token: "</s>" });
    assert.deepEqual([other.padToken, other.pad.isStop], ["<|endoftext|>", false]);
    assert.match(other.pad.why, /names <\/s>, which also ends an answer/);
    const none = await byteTokenizer(t, { pad_token: "<|endoftext|>" });
    assert.deepEqual([none.padId, none.pad.isStop], [256, true]);
  });

  test("a chat template has four places", async (t) => {
    const inConfig = await byteTokenizer(t, { chat_template: "a" });
    const named = [
      { name: "tool_use", template: "t" },
      { name: "default", template: "d" },
    ];
    const inList = await byteTokenizer(t, { chat_template: named });
    const inFile = await byteTokenizer(t, { chat_template: "a" }, { "chat_template.jinja": "f\n" });
    const inProcessor = await byteTokenizer(t, {}, { "chat_template.json": { chat_template: "p" } });
    assert.deepEqual(
      [inConfig, inList, inFile, inProcessor].map(({ chatTemplate }) => chatTemplate),
      ["a", "d", "f\n", "p"],
    );
    assert.equal(inList.toolChatTemplate, "t");
    assert.equal((await byteTokenizer(t)).chatTemplate, undefined);
  });

  test("tokens that only tokenizer_config.json knows are whole", async (t) => {
    const tokenizer = await byteTokenizer(t, { added_tokens_decoder: { 264: { content: "<new>", special: true } } });
    assert.deepEqual([...(await tokenizer.encode("a<new>b"))], [97, 264, 98]);
    assert.deepEqual([tokenizer.vocabSize, tokenizer.isSpecial(264)], [265, true]);
  });

  test("GPT-2's and Qwen2's vocabulary and merges do too", async (t) => {
    const alphabet = byteAlphabet();
    const vocab = Object.fromEntries([...alphabet, "ab", "Ġab", "<|endoftext|>"].map((token, id) => [token, id]));
    const merges = "#version: 0.2\na b\nĠ ab\n";
    for (const [kind, expected] of [
      ["GPT2Tokenizer", [256, 257, 49, 50]],
      ["Qwen2TokenizerFast", [256, 257, 49, 50]],
    ] as const) {
      const dir = await folderOf(t, {
        "vocab.json": vocab,
        "merges.txt": merges,
        "added_tokens.json": { "<|im_end|>": 259 },
        "tokenizer_config.json": { tokenizer_class: kind },
      });
      const tokenizer = await loadTokenizer(dir);
      assert.deepEqual([...(await tokenizer.encode("ab ab12"))], expected, kind);
      assert.deepEqual([...(await tokenizer.encode("<|im_end|><|endoftext|>"))], [259, 258], kind);
      assert.equal(tokenizer.decode([257, 256]), " abab");
      // Composed and decomposed letters are the same to Qwen2 and not to GPT-2.
      const [composed, decomposed] = await tokenizer.encodeBatch(["é", "e\u0301"]);
      assert.equal(String(composed) === String(decomposed), kind.startsWith("Qwen2"));
    }
  });

  test("GPT-2's files give the tokens of its tokenizer.json", { skip: !existsSync(GOLDEN) }, async (t) => {
    const gpt2 = join(SHARED_DATA, "tokenizers/gpt2");
    const dir = await folderOf(t, {
      "vocab.json": readFileSync(join(gpt2, "vocab.json"), "utf8"),
      "vocab.bpe": readFileSync(join(gpt2, "vocab.bpe"), "utf8"),
    });
    const [whole, made] = await Promise.all([loadTokenizer(gpt2), loadTokenizer(dir)]);
    assert.deepEqual(await made.encodeBatch(TEXTS), await whole.encodeBatch(TEXTS));
    assert.equal(made.eosId, 50256);
  });
});

suite("mistakes in a tokenizer's folder", () => {
  test("no tokenizer at all, no folder at all", async (t) => {
    const dir = await folderOf(t, {});
    await assert.rejects(loadTokenizer(dir), /no tokenizer\.json: got no file of a tokenizer.*copy the tokenizer/s);
    await assert.rejects(loadTokenizer(join(dir, "nothing")), DataError);
  });

  test("a form that is not read says how to make one that is", async (t) => {
    const dir = await folderOf(t, { "tokenizer.model": "x", "tokenizer_config.json": {} });
    await assert.rejects(loadTokenizer(dir), /got tokenizer\.model.*save_pretrained/s);
  });

  test("JSON that ends early", async (t) => {
    const dir = await folderOf(t, { "tokenizer.json": '{"model": ' });
    await assert.rejects(loadTokenizer(dir), (error: unknown) => {
      assert.ok(error instanceof FormatError);
      assert.match(error.message, /tokenizer\.json: not JSON.*got 10 bytes/s);
      return true;
    });
  });

  test("JSON that is no tokenizer", async (t) => {
    const dir = await folderOf(t, { "tokenizer.json": { model: { type: "None" } } });
    await assert.rejects(loadTokenizer(dir), FormatError);
  });

  test("neither padding nor an end of text", async (t) => {
    const definition = byteDefinition();
    const dir = await folderOf(t, { "tokenizer.json": { ...definition, added_tokens: [] } });
    await assert.rejects(loadTokenizer(dir), /neither a token for padding nor one for the end/);
  });

  test("a program that there is not", async (t) => {
    const dir = await folderOf(t, { "tokenizer.json": byteDefinition() });
    useBackend(t, "native");
    process.env["LOWRANK_TOKENIZER"] = "rust";
    await assert.rejects(loadTokenizer(dir), ConfigError);
  });
});
