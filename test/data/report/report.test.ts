/** The report on data: its numbers, its samples, and what it refuses. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { suite, test, type TestContext } from "node:test";
import { openDatasets } from "../../../src/data/datasets/open.ts";
import { checkReport } from "../../../src/data/report/check.ts";
import type { DataReport } from "../../../src/data/report/report.ts";
import { sampleView } from "../../../src/data/report/sample-view.ts";
import { prepareRows } from "../../../src/data/rows/prepare.ts";
import type { RowSettings } from "../../../src/data/rows/settings.ts";
import { resolveTemplate } from "../../../src/data/text/templates.ts";
import { DataError } from "../../../src/errors.ts";
import { jsonLines, temporaryFolder } from "../../support/dataset-files.ts";
import { ROW_SETTINGS } from "../../support/row-settings.ts";
import { byteTokenizer } from "../text/fixtures.ts";

const { root, write } = await temporaryFolder();

const SETTINGS: RowSettings = { ...ROW_SETTINGS, cutoffLen: 64 };

async function reportOf(t: TestContext, dataset: string, settings: Partial<RowSettings> = {}): Promise<DataReport> {
  const tokenizer = await byteTokenizer(t);
  const opened = await openDatasets({ dataset, datasetDir: root, stage: settings.stage ?? "sft" });
  const template = resolveTemplate(tokenizer, "default");
  return (await prepareRows(opened, tokenizer, template, { ...SETTINGS, ...settings })).train.report;
}

// `Human: q<|endoftext|>\nAssistant:` is 20 tokens with a question of one; an answer has one more at its end.
const QUESTION = 20;
const answers = (...lengths: number[]) =>
  jsonLines(lengths.map((length) => ({ prompt: "q", completion: "é".repeat(length / 2) })));

await write("a.jsonl", answers(4, 10, 10, 10, 60, 0));
await write("b.jsonl", answers(20));
await write("long.jsonl", answers(100, 200));

suite("counts", () => {
  test("say what became of every record", async (t) => {
    const report = await reportOf(t, "a.jsonl,b.jsonl");
    assert.deepEqual(
      report.datasets.map(({ name, format, read, kept }) => ({ name, format, read, kept })),
      [
        { name: "a.jsonl", format: "prompt/completion", read: 6, kept: 5 },
        { name: "b.jsonl", format: "prompt/completion", read: 1, kept: 1 },
      ],
    );
    assert.equal(report.read, 7);
    assert.equal(report.examples, 6);
    assert.deepEqual(report.bad, [
      { reason: 'column "completion" is empty', count: 1, places: [`${join(root, "a.jsonl")}:6`] },
    ]);
    assert.deepEqual(report.truncated, {
      count: 1,
      tokensLost: QUESTION + 61 - 64,
      longest: QUESTION + 61,
      stopLost: 1,
      places: [`${join(root, "a.jsonl")}:5`],
    });
    const lengths = [4, 10, 10, 10, 20].map((length) => QUESTION + length + 1);
    const total = lengths.reduce((a, b) => a + b, 64);
    assert.deepEqual(report.tokens, { total, trained: total - 6 * QUESTION });
    assert.deepEqual(report.lengths, { min: 25, p5: 25, p50: 31, p95: 64, max: 64 });
    assert.equal(report.stopTrained, 5);
    assert.deepEqual(report.rows, { count: 6, packed: false, fill: total / (6 * 64) });
    assert.deepEqual(report.template?.name, "default");
    // Written as JSON, it is the same.
    assert.deepEqual(JSON.parse(JSON.stringify(report)), report);
  });

  test("of packed rows say how full they are", async (t) => {
    const { rows, tokens } = await reportOf(t, "a.jsonl", { packing: true });
    assert.equal(rows.count, 3);
    assert.equal(rows.fill, tokens.total / (3 * 64));
  });
});

suite("samples", () => {
  test("are of each data set, with the exact text and what is trained on", async (t) => {
    const { samples } = await reportOf(t, "a.jsonl,b.jsonl");
    assert.deepEqual(
      samples.map(({ source }) => `${source.dataset}:${source.line}`),
      ["a.jsonl:1", "b.jsonl:1", "a.jsonl:2"],
    );
    const [first] = samples;
    assert.equal(first!.text, "Human: q<|endoftext|>\nAssistant:éé<|endoftext|>");
    assert.deepEqual(first!.segments, [
      { text: "Human: q<|endoftext|>\nAssistant:", trained: false },
      { text: "éé<|endoftext|>", trained: true },
    ]);
    assert.deepEqual([first!.tokens, first!.trained, first!.shown], [25, 5, 25]);
  });

  test("keep the spaces that a decoder takes from the beginning of a text", () => {
    // As Llama's: a space before each word, and none before the first.
    const decode = (ids: ArrayLike<number>) =>
      Array.from(ids, (id) => ` w${id}`)
        .join("")
        .slice(1);
    const view = sampleView(
      {
        inputIds: Int32Array.of(1, 2, 3, 4),
        trained: Int32Array.of(2, 4),
        source: { dataset: "d", file: "f", line: 1 },
      },
      { decode },
      3,
    );
    assert.deepEqual(view.segments, [
      { text: "w1 w2", trained: false },
      { text: " w3", trained: true },
    ]);
    assert.equal(view.text, "w1 w2 w3");
    assert.deepEqual([view.tokens, view.trained, view.shown], [4, 2, 3]);
  });
});

suite("what is refused", () => {
  const refusal = (report: DataReport): string => {
    try {
      checkReport(report);
    } catch (error) {
      assert.ok(error instanceof DataError);
      return error.message.replaceAll(root, "DIR");
    }
    return assert.fail("nothing was refused");
  };

  test("conversations in which no answer ends with a stop token", async (t) => {
    const cut = await reportOf(t, "long.jsonl");
    assert.equal(cut.stopTrained, 0);
    assert.match(
      refusal(cut),
      /all of them were cut to cutoff_len.*0 of 2 examples\n.*cutoff_len \(now 64; the longest example has 221/,
    );
    const never = { ...cut, truncated: { ...cut.truncated, count: 0, stopLost: 0 } };
    assert.match(
      refusal(never),
      /template default: the model would never learn to end an answer \(EOS\).*\n.*eos_token/,
    );
    checkReport({ ...never, stage: "pt" });
    checkReport({ ...never, part: "validation" });
    checkReport(await reportOf(t, "a.jsonl"));
  });

  test("data of which nothing is left", async (t) => {
    const report = await reportOf(t, "long.jsonl", { overLength: "drop" });
    assert.match(refusal(report), /nothing is left to train on.*2 × longer than cutoff_len 64 \(DIR.long\.jsonl:1\)/);
  });
});
