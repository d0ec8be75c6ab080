/** Rows with a class: the same in memory, from the token cache, from threads and from a stream. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openDatasets } from "../../../src/data/datasets/open.ts";
import { checkReport } from "../../../src/data/report/check.ts";
import { prepareRows } from "../../../src/data/rows/prepare.ts";
import type { RowSettings } from "../../../src/data/rows/settings.ts";
import { loadTokenizer } from "../../../src/data/text/tokenizer.ts";
import { all, complaint, jsonLines, temporaryFolder } from "../../support/dataset-files.ts";
import { ROW_SETTINGS } from "../../support/row-settings.ts";
import { folderOf } from "../text/fixtures.ts";

const SETTINGS: RowSettings = { ...ROW_SETTINGS, stage: "cls", cutoffLen: 12, bufferSize: 1, classToken: "first" };
const { root, write } = await temporaryFolder();
const WORDS = "a b c d e f g h one two three four five six seven eight".split(" ");

test("targets and kinds of tokens are the same however rows are made, kept and read", async (t) => {
  const golden = JSON.parse(readFileSync("golden/classification/pairs.json", "utf8")) as {
    files: Record<string, { tokenizer: unknown }>;
  };
  const dir = await folderOf(t, {
    "tokenizer.json": golden.files["bert"]!.tokenizer,
    "tokenizer_config.json": { pad_token: "[PAD]", unk_token: "[UNK]" },
  });
  const tokenizer = await loadTokenizer(dir);
  const records = Array.from({ length: 600 }, (_, i) => ({
    sentence1: WORDS.slice(0, 1 + (i % 16)).join(" "),
    sentence2: WORDS.slice(i % 7, 8).join(" "),
    label: ["yes", "no", "perhaps"][i % 3],
  }));
  await write("pairs.jsonl", jsonLines([...records, { sentence1: "a", sentence2: "", label: "yes" }]));
  const opened = await openDatasets({ dataset: "pairs.jsonl", datasetDir: root, stage: "cls" });
  const rowsOf = async (settings: Partial<RowSettings>, epoch = 1) => {
    const { train } = await prepareRows(opened, tokenizer, undefined, { ...SETTINGS, ...settings });
    const rows = await all(train.rows.rows(epoch, 3));
    return {
      train,
      rows: rows.map(({ inputIds, targets, types, labels, sources }) => ({
        ids: [...inputIds],
        targets,
        types: types === undefined ? undefined : [...types],
        trained: labels.some((label) => label !== -100),
        sources,
      })),
    };
  };
  const { train, rows } = await rowsOf({});
  assert.equal(train.rows.maxSupervised, 1);
  const names = ["no", "perhaps", "yes"];
  for (const { ids, targets, types, trained, sources } of rows) {
    const { sentence2, label } = records[sources![0]!.line - 1]!;
    assert.deepEqual(targets, [{ at: 0, label: names.indexOf(label!) }]);
    assert.equal(trained, false);
    assert.ok(ids.length <= 12);
    // [CLS] a [SEP] b [SEP]: the second text with its end.
    const second = types!.filter((type) => type === 1).length;
    assert.ok(second >= 2 && second <= sentence2.split(" ").length + 1);
  }
  const cached = { tokenizedPath: join(root, "cache") };
  assert.deepEqual((await rowsOf(cached)).rows, rows);
  assert.deepEqual((await rowsOf(cached)).rows, rows, "from the cache that is there");
  assert.deepEqual((await rowsOf({ preprocessingNumWorkers: 2 })).rows, rows);
  const inOrder = (await rowsOf({ shuffle: false })).rows;
  assert.deepEqual((await rowsOf({ shuffle: false, streaming: true })).rows, inOrder);

  const { report } = train;
  assert.deepEqual(
    report.classes!.counts,
    names.map((label) => ({ label, count: 200 })),
  );
  assert.equal(report.tokens.trained, 600);
  assert.equal(report.truncated.stopLost, 0);
  assert.ok(report.truncated.count > 100);
  assert.deepEqual(report.bad, [
    { reason: 'column "sentence2" is empty', count: 1, places: [`${join(root, "pairs.jsonl")}:601`] },
  ]);
  checkReport(report);
});

test("texts that are all of one class are nothing to learn from", async (t) => {
  await write(
    "same.jsonl",
    jsonLines([
      { text: "a", label: "yes" },
      { text: "b", label: "yes" },
    ]),
  );
  const golden = JSON.parse(readFileSync("golden/classification/pairs.json", "utf8")) as {
    files: Record<string, { tokenizer: unknown }>;
  };
  const dir = await folderOf(t, {
    "tokenizer.json": golden.files["plain"]!.tokenizer,
    "tokenizer_config.json": { pad_token: "[PAD]" },
  });
  const opened = await openDatasets({
    dataset: "same.jsonl",
    datasetDir: root,
    stage: "cls",
    classes: { labels: ["no", "yes"] },
  });
  const { train } = await prepareRows(opened, await loadTokenizer(dir), undefined, SETTINGS);
  const message = await complaint((async () => checkReport(train.report))());
  assert.match(message, /all examples are of one and the same class.*got 2 × "yes"/s);
});
