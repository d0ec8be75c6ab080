/** A few steps of real training: what is trained, what is kept, and what other jobs read of it. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { job, type Results } from "../../src/experiments/experiment.ts";
import { Pool } from "../../src/experiments/frame/pool.ts";
import { runJobs } from "../../src/experiments/frame/run-jobs.ts";
import { INTERVENE } from "../../src/experiments/jobs/intervene.ts";
import { SPECTRA, totalIntruders } from "../../src/experiments/jobs/spectra.ts";
import { TRACK } from "../../src/experiments/jobs/track.ts";
import { BASE, TRAIN, type TrainSettings, type Tuning } from "../../src/experiments/jobs/train.ts";
import { baseMatrices, checkpointFile, readTuned } from "../../src/experiments/rig/weights-file.ts";
import { openWorkbench } from "../../src/experiments/rig/workbench.ts";
import { svd } from "../../src/linear-algebra/svd.ts";

const DOCUMENTS = 12;
const settings = (tuning: Tuning, learningRate: number, more: Partial<TrainSettings> = {}): TrainSettings => ({
  task: "who-has-more",
  texts: 32,
  steps: 3,
  learningRate,
  seed: 0,
  tuning,
  documents: DOCUMENTS,
  ...more,
});
const FULL = settings({ method: "full" }, 1e-3);
/** α ≠ r, so that a scale that is left out shows; a rate that makes intruders in three steps. */
const LORA = settings({ method: "lora", r: 2, alpha: 8 }, 0.2, { checkpoints: [1, 3] });
const FIXED = settings({ method: "lora", r: 3, alpha: 6, fixedA: true }, 0.01, { steps: 2 });
const LAMBDAS = [0, 1];
const INTERVENED = job(INTERVENE, { of: LORA, k: 10, epsilon: 0.5, lambdas: LAMBDAS });

let root: string;
let results: Results;
before(async () => {
  root = await mkdtemp(join(tmpdir(), "lowrank-train-job-"));
  const jobs = [
    job(BASE, { documents: DOCUMENTS }),
    job(SPECTRA, { of: FULL }),
    job(SPECTRA, { of: LORA }),
    job(TRAIN, FIXED),
    job(TRACK, { of: LORA }),
    INTERVENED,
  ];
  const output = await runJobs(jobs, new Pool(root, "c0de"), { threads: 1 });
  assert.deepEqual(output.failed, []);
  ({ results } = output);
});
after(() => rm(root, { recursive: true, force: true }));

const folder = (of: TrainSettings) => results.folder(job(TRAIN, of));

describe("what is trained", () => {
  test("full: the weights of 28 matrices and the head, nothing else", async () => {
    const { trained, accuracy, losses } = results.of(job(TRAIN, FULL))!;
    assert.equal(trained, 4 * (2 * 128 * 128 + 2 * 64 * 128 + 3 * 384 * 128) + 2 * 128);
    assert.ok(accuracy > 0.2 && accuracy <= 1);
    assert.equal(losses.length, 3);
    const { matrices } = await readTuned(folder(FULL));
    assert.equal(matrices.length, 28);
    for (const { delta, name } of matrices) assert.ok(largest(delta.data) > 1e-4, `${name} moved`);
  });

  test("LoRA: factors of the rank, and the head", async () => {
    const { trained } = results.of(job(TRAIN, LORA))!;
    // r (in + out) of each matrix, in a layer: q, o 256; k, v 192; gate, up, down 512.
    assert.equal(trained, 4 * 2 * (2 * 256 + 2 * 192 + 3 * 512) + 2 * 128);
    for (const { factors } of (await readTuned(folder(LORA))).matrices) {
      assert.equal(factors!.scaling, 4);
      assert.equal(factors!.A.rows, 2);
    }
  });

  test("B only: the rows of A stay orthonormal, and B moves", async () => {
    assert.equal(results.of(job(TRAIN, FIXED))!.trained, 4 * 3 * (2 * 128 + 2 * 64 + 2 * 384 + 128) + 2 * 128);
    for (const { factors } of (await readTuned(folder(FIXED))).matrices) {
      for (const value of svd(factors!.A).values) assert.ok(Math.abs(value - 1) < 1e-5, `σ of A: ${value}`);
      assert.ok(largest(factors!.B.data) > 1e-3);
    }
  });
});

test("what was kept gives the model that was tested", async () => {
  const { accuracy, testLoss, pretrainingLoss } = results.of(job(TRAIN, LORA))!;
  const [same] = results.of(INTERVENED)!.intruder.filter(({ lambda }) => lambda === 1);
  // Factors in float64 here, merged in float32 there.
  assert.equal(same!.accuracy, accuracy);
  assert.ok(Math.abs(same!.testLoss - testLoss) < 1e-4 * Math.max(1, testLoss), `${same!.testLoss}, ${testLoss}`);
  assert.ok(Math.abs(same!.pretrainingLoss - pretrainingLoss) < 1e-4 * pretrainingLoss);
  assert.ok(pretrainingLoss > results.of(job(BASE, { documents: DOCUMENTS }))!.pretrainingLoss);
});

test("intruders are found, and taking them out changes what neighbours do not", async () => {
  const spectra = results.of(job(SPECTRA, { of: LORA }))!;
  const intruders = totalIntruders(spectra);
  assert.ok(intruders > 5, `${intruders} intruders`);
  assert.equal(totalIntruders(results.of(job(SPECTRA, { of: FULL }))!), 0);
  for (const { rankDelta, effectiveRankDelta } of spectra.matrices) {
    assert.ok(rankDelta <= 2 && effectiveRankDelta <= 2 + 1e-9);
  }
  const { matrices, intruder, neighbour } = results.of(INTERVENED)!;
  assert.ok(matrices.length > 0 && matrices.every((one) => one.intruder !== one.neighbour));
  assert.deepEqual(
    intruder.map(({ lambda }) => lambda),
    LAMBDAS,
  );
  assert.notEqual(intruder[0]!.pretrainingLoss, neighbour[0]!.pretrainingLoss);
  assert.deepEqual(intruder[1], neighbour[1]);
});

test("checkpoints: the last is the end, and tracks lead back to the first", async () => {
  const [end, last] = [await readTuned(folder(LORA)), await readTuned(folder(LORA), checkpointFile(3))];
  end.matrices.forEach(({ tuned }, i) => assert.deepEqual(tuned.data, last.matrices[i]!.tuned.data));
  const { checkpoints, tracks } = results.of(job(TRACK, { of: LORA }))!;
  assert.deepEqual(
    checkpoints.map(({ step }) => step),
    [1, 3],
  );
  assert.equal(tracks.length, checkpoints[1]!.intruders);
  assert.equal(checkpoints[1]!.intruders, totalIntruders(results.of(job(SPECTRA, { of: LORA }))!));
  for (const { points } of tracks) {
    assert.ok(points[1]!.likeLast > 0.999999 && points[1]!.maxCos < 0.5);
    assert.ok(points[0]!.rank >= 1);
  }
});

test("the workbench's two models share their weights", async () => {
  const bench = await openWorkbench({ classes: 3, headSeed: 1, threads: 1 });
  try {
    const { weight, inFeatures, outFeatures } = bench.layers[0]!;
    const before = await bench.pretrainingLoss(DOCUMENTS);
    assert.ok(Math.abs(before - results.of(job(BASE, { documents: DOCUMENTS }))!.pretrainingLoss) < 1e-6);
    const zeros = new Float32Array(inFeatures * outFeatures);
    await bench.device.write(weight, { dtype: "float32", shape: [outFeatures, inFeatures], data: zeros });
    await bench.changed();
    assert.ok((await bench.pretrainingLoss(DOCUMENTS)) > before + 0.01);
  } finally {
    await bench.dispose();
  }
  assert.equal((await baseMatrices()).size, 28);
});

function largest(values: Float32Array | Float64Array): number {
  return Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}
