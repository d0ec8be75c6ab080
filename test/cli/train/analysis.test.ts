/** `analysis_steps` of a configuration: rows in the log of a run, and what is said of texts that are none. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { runTrain } from "../../../src/cli/train/run-train.ts";
import { FakeOutput } from "../terminal/fake-output.ts";

suite("train with analysis_steps", () => {
  let dir: string;
  const cache = process.env["LOWRANK_CACHE"];
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "lowrank-train-analysis-"));
    process.env["LOWRANK_CACHE"] = join(dir, "cache");
  });
  after(async () => {
    if (cache === undefined) delete process.env["LOWRANK_CACHE"];
    else process.env["LOWRANK_CACHE"] = cache;
    await rm(dir, { recursive: true, force: true });
  });

  const run = async (...overrides: string[]) => {
    const log = new FakeOutput({ isTTY: false, columns: 120, depth: 1 });
    const fixed = [
      "eval_strategy=no",
      "save_strategy=no",
      "max_steps=1",
      "warmup_ratio=0",
      "lora_target=q_proj",
      "threads=1",
    ];
    const all = [`output_dir=${join(dir, "out")}`, ...fixed, ...overrides];
    await runTrain("recipes/quickstart.yaml", all, { log });
    return log.text;
  };

  test("a line in the terminal, and a row in the log", async () => {
    const said = await run(
      "analysis_steps=1",
      // Of bundled/dataset_info.json, as docs/analysis.md has it.
      "analysis_texts=pretraining_sample",
      "analysis_samples=2",
      "analysis_k=3",
    );
    assert.match(said, /step 1: 0 intruders in 4 matrices, effective rank .*, pretraining loss 0\.\d+ \([+-]/);
    const lines = (await readFile(join(dir, "out", "trainer_log.jsonl"), "utf8")).trim().split("\n");
    const rows = lines.map((line) => JSON.parse(line) as Record<string, number>);
    const row = rows.find((one) => one["analysis_matrices"] !== undefined)!;
    assert.equal(row["analysis_matrices"], 4);
    assert.ok(row["analysis_base_loss"]! > 0);
    // 3 directions of 128.
    assert.equal(row["analysis_overlap_random"], 3 / 128);
  });

  test("texts that are none", async () => {
    await assert.rejects(
      run("analysis_steps=1", "analysis_texts=instructions"),
      /analysis_texts: instructions: .*hint: they are plain texts/s,
    );
    await assert.rejects(run("analysis_texts=bundled/pretraining-held-out.jsonl"), /analysis_texts.*analysis_steps/s);
  });
});
