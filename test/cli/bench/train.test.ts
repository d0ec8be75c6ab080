/** `lowrank bench train`, on a few layers of a small shape. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { benchTrain, type BenchTrainOptions } from "../../../src/cli/bench/train.ts";
import { modelOfShape, SHAPE_NAMES } from "../../../src/cli/bench/shapes.ts";
import { ConfigError } from "../../../src/errors.ts";
import { sizeOfShape } from "../../../src/ir/ndarray.ts";

const OPTIONS: BenchTrainOptions = {
  shape: "smollm2-135m",
  layers: 1,
  tokens: 24,
  supervised: 0.25,
  storage: "float32",
  r: 4,
  steps: 3,
  threads: 1,
};
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

test("a run reports its step and its memory, and leaves no file", async () => {
  const report = await benchTrain(OPTIONS, new AbortController().signal);
  // q and o 576 → 576, k and v 576 → 192, gate and up 576 → 1536, down 1536 → 576.
  assert.equal(report.trainable_params, 4 * (2 * 1152 + 2 * 768 + 3 * 2112));
  assert.ok(report.step_s > 0 && report.tokens_per_s > 0);
  assert.ok(Math.abs(report.tokens_per_s * report.step_s - 24) < 1.5);
  // At least the table of the vocabulary, which every step reads.
  assert.ok(report.peak_rss_gb > 0.11, String(report.peak_rss_gb));
  // ln V at the start, and then it learns.
  assert.ok(Math.abs(report.loss[0] - Math.log(49_152)) < 1, String(report.loss[0]));
  assert.ok(report.loss[1] < report.loss[0], report.loss.join());
  assert.deepEqual(readdirSync(join(folder, "bench")), []);
});

test("checkpointing changes nothing but the report's own word for it; the weights are kept when asked for", async () => {
  const { signal } = new AbortController();
  const plain = await benchTrain({ ...OPTIONS, keep: true }, signal);
  assert.deepEqual(readdirSync(join(folder, "bench")), ["smollm2-135m-1.safetensors"]);
  const checkpointed = await benchTrain({ ...OPTIONS, keep: true, gradientCheckpointing: true }, signal);
  assert.equal(checkpointed.gradient_checkpointing, true);
  assert.ok(Math.abs(checkpointed.loss[1] - plain.loss[1]) < 1e-4);
});

test("frozen weights in int8 give nearly the loss of float32, and are a file of their own", async () => {
  const { signal } = new AbortController();
  const plain = await benchTrain(OPTIONS, signal);
  const integer = await benchTrain({ ...OPTIONS, storage: "int8", keep: true }, signal);
  assert.ok(readdirSync(join(folder, "bench")).includes("smollm2-135m-1-int8.safetensors"));
  assert.equal(integer.storage, "int8");
  assert.notEqual(integer.loss[0], plain.loss[0]);
  // Of losses near ln V: as far as rounding moves a model of one layer.
  plain.loss.forEach((loss, i) => assert.ok(Math.abs(integer.loss[i]! / loss - 1) < 0.005, integer.loss.join()));
});

test("a run that is stopped leaves no file", async () => {
  rmSync(join(folder, "bench"), { recursive: true, force: true });
  const reason = new Error("stopped");
  await assert.rejects(benchTrain(OPTIONS, AbortSignal.abort(reason)), reason);
  assert.deepEqual(readdirSync(join(folder, "bench")), []);
});

test("shapes have the sizes of the models that they are named after", () => {
  const millions = SHAPE_NAMES.map((name) => {
    const { parameters } = modelOfShape(name);
    return Math.round(parameters.reduce((sum, { shape }) => sum + sizeOfShape(shape), 0) / 1e6);
  });
  assert.deepEqual(Object.fromEntries(SHAPE_NAMES.map((name, i) => [name, millions[i]])), {
    "qwen2.5-0.5b": 494,
    "qwen2.5-1.5b": 1544,
    "qwen2.5-3b": 3086,
    "qwen3-0.6b": 596,
    "llama3.2-1b": 1236,
    "llama3.2-3b": 3213,
    "smollm2-135m": 135,
    "smollm2-360m": 362,
  });
  assert.throws(
    () => modelOfShape("qwen2.5-05b"),
    (error) => error instanceof ConfigError && /the nearest name is "qwen2.5-0.5b"/.test(error.message),
  );
});

test("a batch of sequences counts all their tokens", async () => {
  const report = await benchTrain({ ...OPTIONS, batch: 3 }, new AbortController().signal);
  assert.equal(report.batch, 3);
  assert.ok(Math.abs(report.tokens_per_s * report.step_s - 3 * 24) < 4.5);
  assert.ok(report.loss[1] < report.loss[0], report.loss.join());
});
