/** `lowrank d90` on the bundled model: what it measures, and that it goes on where it was stopped. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Measured } from "../../../src/cli/d90/measured.ts";

const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
const MAIN = fileURLToPath(new URL("../../../src/cli/main.js", import.meta.url));

test("trains every weight and subspaces, and goes on where it was stopped", async () => {
  const dir = await mkdtemp(join(tmpdir(), "lowrank-d90-"));
  const run = (...flags: readonly string[]) => {
    const keys = ["max_steps=2", "max_samples=24", "cutoff_len=48", "threads=1", `output_dir=${dir}`];
    const args = [MAIN, "d90", "recipes/methods/d90.yaml", ...keys, ...flags, "--json"];
    const { stdout, stderr, status } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: "utf8" });
    assert.equal(status, 0, stderr);
    return { stderr, facts: JSON.parse(stdout) as Record<string, unknown> & { tried: { d: number; loss: number }[] } };
  };
  const file = join(dir, "d90.jsonl");
  const lines = () =>
    readFileSync(file, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Measured);
  try {
    const first = run("--max-d", "2", "--share", "0.0001");
    const measured = new Map(lines().map((row) => [row.d, row]));
    const [base, full] = [measured.get("base")!, measured.get("full")!];
    assert.ok(full.eval_loss < base.eval_loss);
    assert.equal(first.facts.adapted_weights, 786_432);
    // Weights move as far as when they are trained themselves.
    const rate = measured.get(2)!.learning_rate / full.learning_rate;
    assert.ok(Math.abs(rate - Math.sqrt(786_432 / 2)) < 1e-6);
    for (const { d, loss } of first.facts.tried) assert.equal(loss, measured.get(d)!.eval_loss);

    // A run that was killed while it wrote, and one whose line is lost.
    const kept = lines().filter(({ d }) => d !== 2);
    writeFileSync(file, `${kept.map((row) => JSON.stringify(row)).join("\n")}\n`);
    const again = run("--max-d", "2", "--share", "0.0001");
    assert.deepEqual(again.facts, first.facts, "the same run gives the same bits");
    assert.doesNotMatch(again.stderr, /training every weight/);
    assert.match(again.stderr, /training 2 dimensions/);
    const third = run("--max-d", "2", "--share", "0.0001");
    assert.deepEqual(third.facts, first.facts);
    assert.doesNotMatch(third.stderr, /training/);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test("needs a held-out set", () => {
  const args = [MAIN, "d90", "recipes/methods/d90.yaml", "eval_dataset=null"];
  const { stderr, status } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: "utf8" });
  assert.equal(status, 1);
  assert.match(stderr, /there is no held-out set to measure on|eval/);
});
