import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { factsOf, verdictOf } from "../../../src/analysis/html/verdict.ts";
import type { AnalysisReport, MatrixReport } from "../../../src/analysis/report.ts";
import { bundledMatrices, plantedReport } from "./planted-report.ts";

let report: AnalysisReport;
before(async () => {
  const [name = ""] = bundledMatrices([0], ["self_attn.k_proj"]);
  report = await plantedReport([{ name, strengths: [0.01] }]);
});

/** A report of matrices with so many intruders. */
function withIntruders(...counts: number[]): AnalysisReport {
  const [first] = report.matrices;
  const matrices = counts.map((intruders, i): MatrixReport => ({ ...first!, name: `layers.${i}.q`, intruders }));
  return { ...report, matrices, total_intruders: counts.reduce((a, b) => a + b, 0) };
}

describe("verdict", () => {
  test("none is good, a few are a warning, many are bad", () => {
    assert.equal(verdictOf(withIntruders(0, 0)).level, "good");
    assert.equal(verdictOf(withIntruders(0, 0)).advice, undefined);
    // One of thirty vectors, in one of three matrices.
    assert.equal(verdictOf(withIntruders(1, 0, 0)).level, "warning");
    // A tenth of all vectors.
    assert.equal(verdictOf(withIntruders(3, 0, 0)).level, "bad");
    // More than half of the matrices.
    assert.equal(verdictOf(withIntruders(1, 1, 0)).level, "bad");
    assert.equal(verdictOf(withIntruders(1)).headline, "1 intruder dimension in 1 of 1 matrix");
  });

  test("says what to do with what is known of the adapter; repairing takes an adapter", () => {
    const advice = verdictOf(withIntruders(1, 0)).advice!.join("\n");
    assert.match(advice, /lower learning rate/);
    assert.match(advice, /lora_rank: 16`, `lora_alpha: 32` \(now r = 8, alpha = 16\)/);
    assert.match(advice, /lowrank repair BASE ADAPTER --lambda 0.7/);
    const model = { ...withIntruders(1, 0), tuned: { name: "full", kind: "model" as const, content_hash: "" } };
    assert.doesNotMatch(verdictOf(model).advice!.join("\n"), /lowrank repair|undefined/);
  });

  test("numbers that stand out are those of the report", () => {
    const facts = factsOf(withIntruders(3, 0, 1));
    const { norm_delta, norm_base, effective_rank_delta } = report.matrices[0]!;
    assert.deepEqual(
      facts.map(({ value }) => value),
      [
        "4",
        "2 of 3",
        String(3 * report.matrices[0]!.other_side.intruders),
        effective_rank_delta.toFixed(1),
        `${Number(((100 * norm_delta) / norm_base).toPrecision(2))}\u00a0%`,
      ],
    );
  });
});
