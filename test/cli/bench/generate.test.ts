/** `lowrank bench generate`, on one layer of a small shape. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { benchGenerate } from "../../../src/cli/bench/generate.ts";

const folder = mkdtempSync(join(tmpdir(), "lowrank-bench-"));
const cache = process.env["LOWRANK_CACHE"];

before(() => {
  process.env["LOWRANK_CACHE"] = folder;
});
after(() => {
  if (cache === undefined) delete process.env["LOWRANK_CACHE"];
  else process.env["LOWRANK_CACHE"] = cache;
  rmSync(folder, { recursive: true });
});

test("a run reports its speed and what it reads, and leaves no file", async () => {
  const options = { shape: "smollm2-135m", storage: "float32", layers: 1, promptTokens: 4, newTokens: 4, threads: 1 };
  const report = await benchGenerate(options, new AbortController().signal);
  // The table, which the head shares; q and o, k and v, the MLP's three; three norms.
  const elements = 49_152 * 576 + 2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536 + 3 * 576;
  assert.equal(report.weight_gb_per_token, Number(((4 * elements) / 1e9).toFixed(3)));
  assert.ok(report.prefill_tokens_per_s > 0 && report.decode_tokens_per_s > 0);
  const read = report.decode_tokens_per_s * (report.weight_gb_per_token + report.cache_gb_per_token);
  assert.ok(Math.abs(read / report.read_gb_per_s - 1) < 0.05, `${read} and ${report.read_gb_per_s}`);
  const share = report.read_gb_per_s / report.memory_gb_per_s;
  assert.ok(Math.abs(share / report.share_of_memory_bandwidth - 1) < 0.05);
  assert.deepEqual(readdirSync(join(folder, "bench")), []);
});
