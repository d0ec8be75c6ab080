/** From results to a row, a table and pictures. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseRunConfig, type RunConfig } from "../../../src/config/read.ts";
import { codeIdentity, contentIdentity, identityOfJob } from "../../../src/train/compare/identity.ts";
import { comparisonFigures } from "../../../src/train/compare/figures.ts";
import { bytesText, reportMarkdown } from "../../../src/train/compare/markdown.ts";
import {
  type Evaluations,
  evaluationOf,
  type JobResult,
  type Measured,
  readResult,
  RESULT_FORMAT,
  resultPath,
  writeResult,
} from "../../../src/train/compare/result.ts";
import { type Row, rowOf, spread } from "../../../src/train/compare/summary.ts";

const OVERRIDES = ["model_name_or_path=m", "dataset=a.jsonl", "output_dir=x", "peft_config={r: 4}"];
const config: RunConfig = parseRunConfig("", undefined, OVERRIDES).config;
const common = { format: RESULT_FORMAT, identity: "i", seconds: 1 } as const;

function finished(job: string, task: number, pretraining: number, losses = [4, 3, 2]): JobResult<Measured> {
  return {
    ...common,
    job,
    status: "finished",
    measured: {
      task: evaluationOf(task),
      pretraining: evaluationOf(pretraining),
      trainableParameters: 1234,
      allParameters: 99_999,
      savedBytes: 5678,
      steps: losses.length,
      tokens: 300,
      positions: 316,
      losses,
      finalLoss: losses.at(-1)!,
      tokensPerSecond: 1000 * task,
      trainingPeakBytes: 2e8,
      peakBytes: 3e8,
    },
  };
}

const failed = (job: string, reason: string): JobResult<Measured> => ({ ...common, job, status: "failed", reason });
const before: JobResult<Evaluations> = {
  ...common,
  job: "base-float32",
  status: "finished",
  measured: { task: evaluationOf(3), pretraining: evaluationOf(0.5) },
};
const cell = (name: string) => ({ id: `${name}-float32`, name, storage: "float32", config });

function rows(): Row[] {
  return [
    rowOf(cell("worse"), [
      { seed: 0, result: finished("worse-s0", Math.log(4), Math.log(2)), before },
      { seed: 1, result: finished("worse-s1", Math.log(6), Math.log(2), [4, 3, 1]), before },
    ]),
    rowOf(cell("better"), [
      { seed: 0, result: finished("better-s0", Math.log(1.5), Math.log(3)), before },
      { seed: 1, result: failed("better-s1", "step 3: loss is NaN\n  hint: a lower learning_rate"), before },
    ]),
    rowOf(cell("broken"), [{ seed: 0, result: failed("broken-s0", "no memory"), before }]),
    rowOf(cell("later"), [{ seed: 0, result: undefined, before }]),
  ];
}

test("a spread is the mean and the deviation of a sample", () => {
  assert.deepEqual(spread([2, 4, 9]), { mean: 5, sd: Math.sqrt((9 + 1 + 16) / 2), count: 3 });
  assert.deepEqual(spread([7]), { mean: 7, sd: null, count: 1 });
  assert.equal(spread([]), undefined);
});

test("a row has perplexities, not losses, of the seeds that finished", () => {
  const [worse, better, broken] = rows();
  assert.ok(Math.abs(worse!.task!.mean - 5) < 1e-12 && Math.abs(worse!.task!.sd! - Math.SQRT2) < 1e-12);
  assert.ok(Math.abs(worse!.taskBefore!.mean - Math.exp(3)) < 1e-12);
  assert.ok(Math.abs(worse!.pretrainingBefore!.mean - Math.exp(0.5)) < 1e-12);
  assert.deepEqual(worse!.losses, [4, 3, 1.5]);
  assert.deepEqual([better!.finished, better!.failures.length, better!.task!.sd], [1, 1, null]);
  assert.deepEqual([broken!.finished, broken!.task], [0, undefined]);
});

test("the table has the best first, failed ones last with their reasons, and none that is still to come", () => {
  const text = reportMarkdown({
    title: "t",
    model: "m",
    data: "d",
    evaluated: "e",
    pretraining: "p",
    seeds: [0, 1],
    machine: "here",
    budget: { steps: 3, tokens: 300, rows: 8 },
    rows: rows(),
    notes: ["a note"],
    pictures: ["a.svg"],
  });
  const lines = text.split("\n").filter((line) => /^\| (worse|better|broken|later) /.test(line));
  assert.deepEqual(
    lines.map((line) => line.split(" | ")[0]),
    ["| better", "| worse", "| broken"],
  );
  assert.match(lines[0]!, /\| 1,234 \| 5\.68 kB \| 2\.000 \| 20\.086 \| 1\.500 \| 1\.649 \| 3\.000 \|/);
  assert.match(lines[1]!, /\| 1\.500 ± 0\.707 \| 20\.086 \| 5\.000 ± 1\.414 \| 1\.649 \| 2\.000 ± 0\.000 \|/);
  assert.match(text, /- better, float32, seed 1: step 3: loss is NaN; hint: a lower learning_rate/);
  assert.match(text, /- a note/);
  assert.equal(bytesText(0), "0 B");
  assert.deepEqual([999, 999_499, 999_999, 1.5e13].map(bytesText), ["999 B", "999 kB", "1.00 MB", "15.0 TB"]);
});

test("there is a picture of each kind, with the name of every cell that finished", () => {
  const figures = comparisonFigures(rows(), "of a test");
  assert.deepEqual(
    figures.map(({ name }) => name),
    ["compare", "compare-forgetting", "compare-memory", "compare-loss"],
  );
  for (const { svg } of figures) assert.ok(svg.includes(">worse<") && svg.includes(">better<"));
  assert.ok(figures.every(({ svg }) => !svg.includes("NaN") && !svg.includes(">broken<")));
  assert.deepEqual(comparisonFigures(rows().slice(2), ""), []);
});

test("a result is read back as it was; one that is damaged, or of another job, is none", async () => {
  const dir = await mkdtemp(join(tmpdir(), "lowrank-result-"));
  try {
    const result = finished("worse-s0", 1, 2);
    await writeResult(dir, result);
    assert.deepEqual(await readResult(dir, "worse-s0"), result);
    assert.equal(await readResult(dir, "other"), undefined);
    for (const text of ["{", "null", "[]", `{"format":${RESULT_FORMAT},"job":"worse-s0","status":"finished"}`]) {
      await writeFile(resultPath(dir, "worse-s0"), text);
      assert.equal(await readResult(dir, "worse-s0"), undefined, text);
    }
  } finally {
    await rm(dir, { recursive: true });
  }
});

test("an identity changes with whatever decides the result, and with nothing else", async () => {
  const dir = await mkdtemp(join(tmpdir(), "lowrank-identity-"));
  try {
    const file = join(dir, "a");
    await writeFile(file, "one");
    const parts = { config, forgetting: undefined, hashes: [await contentIdentity([file])], code: "c", more: [1] };
    const first = identityOfJob(parts);
    assert.equal(identityOfJob({ ...parts, config: { ...config, outputDir: "elsewhere" } }), first);
    await writeFile(file, "two");
    const others = [
      { ...parts, config: { ...config, learningRate: 7 } },
      { ...parts, config: { ...config, peftConfig: { r: 5 } } },
      { ...parts, config: { ...config, seed: config.seed + 1 } },
      { ...parts, forgetting: config },
      { ...parts, hashes: [await contentIdentity([file])] },
      { ...parts, more: [2] },
    ].map((other) => identityOfJob(other));
    assert.equal(new Set([first, ...others]).size, others.length + 1);
    // Other code alone changes the part behind the dash.
    assert.equal(identityOfJob({ ...parts, code: "d" }), first.replace(/c$/, "d"));
    assert.match(await codeIdentity(), /^[0-9a-f]{32}$/);
  } finally {
    await rm(dir, { recursive: true });
  }
});
