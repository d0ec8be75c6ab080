/** Tasks one after the other, on a model that is small and random: what is merged, what starts anew, what goes on. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { Backbone } from "../../src/experiments/rig/backbone.ts";
import type { ContinualMethod } from "../../src/experiments/continual/method.ts";
import { runSequence, type SequenceOptions, type SequenceResult } from "../../src/experiments/continual/sequence.ts";
import { TASKS } from "../../src/experiments/tasks/index.ts";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import { svd } from "../../src/linear-algebra/svd.ts";
import { writeTinyModel } from "../support/tiny-model.ts";

/** Of one matrix whose both sides are larger than twice the rank. */
const WATCHED = "model.layers.0.mlp.gate_proj.weight";
const R = 3;
const TEXTS = ["The fox lives in a den.", "Three plus one is four.", "A swan is white."];

let dir = "";
let model = "";
before(async () => {
  dir = await mkdtemp(join(tmpdir(), "lowrank-sequence-"));
  model = join(dir, "model");
  await writeTinyModel(model);
});
after(() => rm(dir, { recursive: true, force: true }));

function optionsFor(method: ContinualMethod): SequenceOptions {
  const tasks = TASKS.slice(0, 2).map(({ name, about, labels, generate }) => ({
    name,
    about,
    labels,
    train: generate(0, 48),
    test: generate(0, 30, "test"),
  }));
  return { model, tasks, method, seed: 5, epochs: 1, batchSize: 16, pretrainingTexts: TEXTS, pictured: ["q_proj"] };
}

const LORA: ContinualMethod = { kind: "lora", r: R, alpha: 10, learningRate: 0.02 };
const O_LORA: ContinualMethod = { ...LORA, kind: "o-lora", lambda1: 0, overlap: "squared" };

async function run(method: ContinualMethod, folder: string): Promise<SequenceResult> {
  return runSequence(optionsFor(method), { folder: join(dir, folder), threads: 1 });
}

/** Of ΔW of one matrix as it was saved: values above rounding. */
async function rankOfUpdate(folder: string, file: string): Promise<number> {
  const [base, tuned] = [
    await openSafetensors(join(model, "model.safetensors")),
    await openSafetensors(join(dir, folder, file)),
  ];
  try {
    const [before, now] = [await base.readFloat32(WATCHED), await tuned.readFloat32(WATCHED)];
    const [rows, columns] = base.tensors.get(WATCHED)!.shape;
    const delta = Float64Array.from(now, (value, i) => value - before[i]!);
    const { values } = svd({ rows: rows!, columns: columns!, data: delta });
    // Sums are rounded to float32: that is far below, and full rank.
    return values.filter((value) => value > 1e-4 * values[0]!).length;
  } finally {
    await base.close();
    await tuned.close();
  }
}

suite("LoRA, merged after each task", () => {
  test("a task adds r to the rank of the update: factors are merged, and start anew", async () => {
    const controller = new AbortController();
    const options = optionsFor(LORA);
    const stopped = runSequence(options, {
      folder: join(dir, "lora"),
      threads: 1,
      signal: controller.signal,
      progress: (fraction) => void (fraction > 0.55 && controller.abort(new Error("enough"))),
    });
    await assert.rejects(stopped, /enough/);
    assert.equal(await rankOfUpdate("lora", "stage-1.safetensors"), R);

    const fractions: number[] = [];
    const resumed = await runSequence(options, {
      folder: join(dir, "lora"),
      threads: 1,
      progress: (fraction) => void fractions.push(fraction),
    });
    assert.ok(
      fractions.every((fraction) => fraction >= 0.5),
      "the first task is not trained again",
    );
    assert.equal(await rankOfUpdate("lora", "stage-2.safetensors"), 2 * R);

    const unbroken = await run(LORA, "lora-unbroken");
    assert.deepEqual(resumed, unbroken);
  });

  test("what is measured", async () => {
    const { tasks, baseline, stages } = await run(LORA, "lora-unbroken");
    assert.deepEqual(
      tasks.map(({ name, train, test: tests, cut }) => [name, train, tests, cut]),
      [
        ["taken", 48, 30, 0],
        ["acceptability", 48, 30, 0],
      ],
    );
    assert.deepEqual(
      tasks.map(({ majority }) => majority),
      [1 / 3, 1 / 2],
    );
    const backbone = await Backbone.open(model, 1);
    assert.equal(baseline.backboneHash, await backbone.hash());
    await backbone.dispose();
    assert.equal(new Set([baseline, ...stages].map(({ backboneHash }) => backboneHash)).size, 3);
    for (const { accuracies, pretrainingLoss } of [baseline, ...stages]) {
      assert.equal(accuracies.length, 2);
      for (const accuracy of accuracies) assert.ok(accuracy > 0.1 && accuracy <= 1);
      assert.ok(pretrainingLoss! > 5, String(pretrainingLoss));
    }
    const [first, second] = stages;
    assert.equal(first!.training.steps, 3);
    assert.ok(second!.change > first!.change && first!.change > 0);
    assert.deepEqual(
      first!.pictures.map(({ name }) => name),
      ["model.layers.0.self_attn.q_proj"],
    );
    const sum = Object.values(second!.intrudersByMatrix).reduce((all, [left]) => all + left, 0);
    assert.equal(second!.intruders.left, sum);
  });

  test("a folder of another sequence is refused", async () => {
    await assert.rejects(run({ ...LORA, alpha: 11 }, "lora-unbroken"), /other tasks or settings/);
  });
});

suite("O-LoRA", () => {
  let without: SequenceResult;

  test("without a penalty it is LoRA that is merged, but for rounding", async () => {
    const merged = await run(LORA, "lora-unbroken");
    without = await run(O_LORA, "o-lora");
    assert.deepEqual(
      without.stages.map(({ training }) => training.steps),
      merged.stages.map(({ training }) => training.steps),
    );
    for (const [i, stage] of without.stages.entries()) {
      const other = merged.stages[i]!;
      // A merged weight is rounded once, a pair beside it is not: Adam's first steps carry that on.
      assert.ok(Math.abs(stage.training.meanLoss - other.training.meanLoss) < 1e-3);
      assert.ok(Math.abs(stage.change / other.change - 1) < 0.01);
      assert.ok(Math.abs(stage.pretrainingLoss! - other.pretrainingLoss!) < 0.01);
    }
    assert.deepEqual(
      without.stages.map(({ overlap }) => overlap === null),
      [true, false],
    );
  });

  test("the penalties lower the overlap, and a stopped run gives the same", async () => {
    for (const overlap of ["squared", "absolute"] as const) {
      const method: ContinualMethod = { ...O_LORA, lambda1: 2, overlap };
      const controller = new AbortController();
      const folder = join(dir, `o-lora-${overlap}`);
      const progress = (fraction: number) => void (fraction > 0.55 && controller.abort(new Error("enough")));
      await assert.rejects(
        runSequence(optionsFor(method), { folder, threads: 1, signal: controller.signal, progress }),
        /enough/,
      );
      const { stages } = await runSequence(optionsFor(method), { folder, threads: 1 });
      const [least, most] = [stages[1]!.overlap!, without.stages[1]!.overlap!];
      assert.ok(least < 0.8 * most, `${overlap}: ${least} against ${most}`);
      // The first task knows no penalty.
      assert.equal(stages[0]!.backboneHash, without.stages[0]!.backboneHash);
    }
  });
});

test("full fine-tuning changes the linear weights, and nothing else", async () => {
  const { stages } = await run({ kind: "full", learningRate: 0.002 }, "full");
  assert.ok(stages[1]!.change > stages[0]!.change);
  const [base, tuned] = [
    await openSafetensors(join(model, "model.safetensors")),
    await openSafetensors(join(dir, "full", "stage-2.safetensors")),
  ];
  const linear = [...base.tensors.keys()].filter((name) => name.endsWith("_proj.weight")).toSorted();
  assert.deepEqual([...tuned.tensors.keys()].toSorted(), linear);
  for (const name of linear) assert.notDeepEqual(await tuned.readFloat32(name), await base.readFloat32(name));
  await base.close();
  await tuned.close();
});

test("one pair of factors goes on: the rank of the update stays r", async () => {
  const { stages } = await run({ ...LORA, kind: "seq-lora" }, "seq-lora");
  assert.equal(stages[1]!.overlap, null);
  assert.notEqual(stages[0]!.backboneHash, stages[1]!.backboneHash);
  const file = await openSafetensors(join(dir, "seq-lora", "stage-2.safetensors"));
  assert.equal(file.tensors.get("A/model.layers.0.mlp.gate_proj")!.shape[0], R * 32);
  assert.ok(!file.tensors.has("B1/model.layers.0.mlp.gate_proj"));
  await file.close();
});
