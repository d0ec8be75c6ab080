/** `lowrank data`: what it prints, and when it fails. */
import assert from "node:assert/strict";
import { suite, test, type TestContext } from "node:test";
import { runData } from "../../../src/cli/data/run-data.ts";
import type { DataReport } from "../../../src/data/report/report.ts";
import { LowrankError } from "../../../src/errors.ts";
import { jsonLines, temporaryFolder } from "../../support/dataset-files.ts";
import { byteTokenizer } from "../../data/text/fixtures.ts";
import { FakeOutput } from "../terminal/fake-output.ts";

const { root, write } = await temporaryFolder();

await write("qa.jsonl", jsonLines(Array.from({ length: 8 }, (_, i) => ({ prompt: `q${i}`, completion: "yes" }))));
await write(
  "long.jsonl",
  jsonLines(Array.from({ length: 8 }, () => ({ prompt: "q", completion: "long ".repeat(40) }))),
);
await write("poems.txt", "one\ntwo\n");
const config = await write(
  "run.yaml",
  [
    "stage: sft",
    "finetuning_type: lora",
    "dataset: qa.jsonl",
    `dataset_dir: ${root}`,
    "template: default",
    "cutoff_len: 64",
    "val_size: 2",
    "eval_strategy: steps",
    `output_dir: ${root}/out`,
    "",
  ].join("\n"),
);

async function dataOf(
  t: TestContext,
  overrides: readonly string[] = [],
  options: { json?: boolean } = {},
): Promise<{ out: FakeOutput; log: FakeOutput; error?: string }> {
  const { dir } = await byteTokenizer(t);
  const [out, log] = [new FakeOutput({ isTTY: false }), new FakeOutput({ isTTY: false })];
  const work = runData(config, [`model_name_or_path=${dir}`, ...overrides], options, { out, log });
  const error = await work.then(
    () => undefined,
    (reason: unknown) => {
      assert.ok(reason instanceof LowrankError, String(reason));
      return reason.message;
    },
  );
  return { out, log, ...(error === undefined ? {} : { error }) };
}

suite("lowrank data", () => {
  test("needs a tokenizer only, and reports on both parts", async (t) => {
    const { out, error } = await dataOf(t);
    assert.equal(error, undefined);
    assert.match(out.text, /^training data \(stage sft\)\n[^]*read 6 · kept 6[^]*\nvalidation data[^]*read 2 · kept 2/);
    assert.match(out.text, /Human: q\d<\|endoftext\|>↵\nAssistant:«yes<\|endoftext\|>»/);
    assert.ok(!out.text.includes("\u001b"));
  });

  test("prints one JSON object", async (t) => {
    const { out, error } = await dataOf(t, ["packing=true"], { json: true });
    assert.equal(error, undefined);
    const { train, validation } = JSON.parse(out.text) as { train: DataReport; validation: DataReport };
    assert.deepEqual([train.examples, train.rows.packed, validation.examples], [6, true, 2]);
  });

  test("needs no template for plain text", async (t) => {
    const { out, error } = await dataOf(t, ["stage=pt", "dataset=poems.txt", "val_size=0", "template=null"]);
    assert.equal(error, undefined);
    assert.match(out.text, /rows +1 row of up to 64 tokens/);
    assert.ok(!out.text.includes("\ntemplate"));
  });

  test("fails after the report where nothing teaches to stop", async (t) => {
    const { out, error } = await dataOf(t, ["dataset=long.jsonl"]);
    assert.match(out.text, /stop token +! 0%/);
    assert.match(error ?? "", /no example ends with a stop token/);
  });
});
