/** Texts and pairs as transformers' tokenizers give them (golden/make/classification.py), cut ones too. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { classTokens, longestFirst } from "../../../src/data/text/encode-class.ts";
import { encodeSample } from "../../../src/data/text/encode.ts";
import { loadTokenizer } from "../../../src/data/text/tokenizer.ts";
import { complaint } from "../../support/dataset-files.ts";
import { byteTokenizer, folderOf } from "./fixtures.ts";

interface Golden {
  readonly files: Readonly<
    Record<
      string,
      {
        readonly tokenizer: unknown;
        readonly cases: readonly {
          readonly text: string;
          readonly pair: string | null;
          readonly limit: number;
          readonly ids: readonly number[];
          readonly types: readonly number[];
        }[];
      }
    >
  >;
}

const golden = JSON.parse(readFileSync("golden/classification/pairs.json", "utf8")) as Golden;
const source = { dataset: "d", file: "d.jsonl", line: 7 };

for (const backend of ["native", "js"]) {
  suite(`texts with classes, ${backend} tokenizer`, () => {
    for (const [kind, { tokenizer: definition, cases }] of Object.entries(golden.files)) {
      test(`${kind}: tokens, kinds and cuts of transformers`, async (t) => {
        const before = process.env["LOWRANK_TOKENIZER"];
        t.after(() => {
          if (before === undefined) delete process.env["LOWRANK_TOKENIZER"];
          else process.env["LOWRANK_TOKENIZER"] = before;
        });
        process.env["LOWRANK_TOKENIZER"] = backend;
        const config = { pad_token: "[PAD]", unk_token: "[UNK]" };
        const dir = await folderOf(t, { "tokenizer.json": definition, "tokenizer_config.json": config });
        const tokenizer = await loadTokenizer(dir);
        assert.equal(tokenizer.backend, backend);
        let cut = 0;
        for (const { text, pair, limit, ids, types } of cases) {
          const what = `${text} | ${pair ?? ""} in ${limit}`;
          const found = await classTokens({ text, ...(pair === null ? {} : { pair }) }, tokenizer, limit);
          assert.deepEqual([...found.inputIds], ids, what);
          // Without a template of its own a tokenizer marks nothing that a model would look at.
          if (kind !== "plain") assert.deepEqual([...found.types], types, what);
          if (found.truncatedFrom !== undefined) cut++;
        }
        assert.ok(cut > 20);
      });
    }
  });
}

test("of two texts the longer one is cut first, then both", () => {
  for (const [first, second, room, kept] of [
    [3, 4, 7, [3, 4]],
    [3, 9, 8, [3, 5]],
    [9, 3, 8, [5, 3]],
    [9, 8, 9, [5, 4]],
    [8, 9, 9, [4, 5]],
    [20, 20, 7, [3, 4]],
  ] as const) {
    assert.deepEqual(longestFirst(first, second, room), kept, `${first} and ${second} in ${room}`);
  }
});

test("the class is told by the last token, or the first; what is too long is cut, left out, or an error", async (t) => {
  const tokenizer = await byteTokenizer(t);
  const sample = { kind: "class", text: "abcdef", label: 2, source } as const;
  const encode = (cutoffLen: number, overLength: "truncate" | "drop" | "error", classToken?: "first" | "last") =>
    encodeSample(sample, tokenizer, undefined, {
      cutoffLen,
      overLength,
      ...(classToken === undefined ? {} : { classToken }),
    });
  const whole = await encode(16, "error");
  assert.ok("encoded" in whole);
  // No token at the end: transformers adds none.
  assert.deepEqual([...whole.encoded.inputIds], [...Buffer.from("abcdef")]);
  assert.deepEqual(whole.encoded.targets, [{ at: 5, label: 2 }]);
  assert.ok(whole.encoded.labels.every((label) => label === -100));
  const first = await encode(4, "truncate", "first");
  assert.ok("encoded" in first);
  assert.deepEqual(first.encoded.targets, [{ at: 0, label: 2 }]);
  assert.equal(first.truncatedFrom, 6);
  assert.equal(first.encoded.inputIds.length, 4);
  // transformers looks for the last token that is not padding, whatever else that token means.
  const ending = { ...sample, text: "abff" };
  const padded = { cutoffLen: 9, overLength: "error", padTokenId: "f".charCodeAt(0) } as const;
  const before = await encodeSample(ending, tokenizer, undefined, padded);
  assert.ok("encoded" in before);
  assert.deepEqual(before.encoded.targets, [{ at: 1, label: 2 }]);
  assert.deepEqual(await encode(4, "drop"), { dropped: "longer than cutoff_len 4" });
  assert.match(await complaint(encode(4, "error")), /d\.jsonl:7: longer than cutoff_len: got 6 tokens/);
});

test("a limit that leaves no room for the texts is an error", async (t) => {
  const dir = await folderOf(t, {
    "tokenizer.json": golden.files["roberta"]!.tokenizer,
    "tokenizer_config.json": { pad_token: "[PAD]" },
  });
  const work = classTokens({ text: "a b c", pair: "d e" }, await loadTokenizer(dir), 5);
  assert.match(await complaint(work), /cutoff_len: leaves no room .*: got 5, expected at least 6/);
});
