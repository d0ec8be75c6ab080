/** A whole analysis: counts of planted intruders, ranks of updates, checkpoints, and going on after an interruption. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { analyze } from "../../src/analysis/analyze.ts";
import { projected } from "../../src/analysis/measures/amplification.ts";
import { effectiveRank } from "../../src/analysis/measures/ranks.ts";
import { svd } from "../../src/linear-algebra/svd.ts";
import { LowrankError } from "../../src/errors.ts";
import { gaussian, scaledBy, type Tensor, withIntruders, writeTensors } from "./planted.ts";

const METHODS = new URL("../../../golden/peft-methods/", import.meta.url).pathname;
const BASES = new URL("../../../golden/causal-lm/", import.meta.url).pathname;

suite("analyze", () => {
  let root: string;
  let base: string;
  let tuned: string;
  const weights = {
    "model.layers.0.q_proj.weight": gaussian([72, 80], 1),
    "model.layers.0.up_proj.weight": gaussian([96, 72], 2),
    "model.layers.1.q_proj.weight": gaussian([72, 80], 3),
    "model.layers.1.up_proj.weight": gaussian([96, 72], 4),
  };
  const planted: Readonly<Record<string, Tensor>> = {
    "model.layers.0.q_proj.weight": withIntruders(weights["model.layers.0.q_proj.weight"], 3, 50),
    "model.layers.0.up_proj.weight": withIntruders(weights["model.layers.0.up_proj.weight"], 1, 60),
    "model.layers.1.q_proj.weight": scaledBy(weights["model.layers.1.q_proj.weight"], 1.25),
    "model.layers.1.up_proj.weight": weights["model.layers.1.up_proj.weight"],
  };
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "lowrank-analyze-"));
    base = await writeTensors(join(root, "base.safetensors"), weights);
    tuned = await writeTensors(join(root, "tuned.safetensors"), planted);
  });
  after(() => rm(root, { recursive: true }));
  const options = { cacheDir: false, threads: 1 } as const;

  test("planted intruders are found at the top, and nothing else is one", async () => {
    const report = await analyze(base, tuned, options);
    const found = Object.fromEntries(report.matrices.map(({ name, intruder_ranks }) => [name, intruder_ranks]));
    assert.deepEqual(found, {
      "model.layers.0.q_proj.weight": [1, 2, 3],
      "model.layers.0.up_proj.weight": [1],
      "model.layers.1.q_proj.weight": [],
    });
    assert.equal(report.total_intruders, 4);
    assert.deepEqual(report.skipped, [{ name: "model.layers.1.up_proj.weight", reason: "did not change" }]);
    const [three, one, scaled] = report.matrices;
    assert.equal(three!.numeric_rank_delta, 3);
    assert.equal(one!.numeric_rank_delta, 1);
    assert.ok(scaled!.max_cos.every((value) => value > 0.999));
    assert.deepEqual(scaled!.nearest.slice(0, 5), [1, 2, 3, 4, 5]);
    assert.deepEqual(three!.intruder_gaps.length, 3);
    // Left vectors of a tall matrix do not span the outputs.
    assert.deepEqual([three!.spans, one!.spans], [true, false]);
    assert.match(report.warnings.join(), /1 matrix has fewer base vectors on the left side.*up_proj/);
  });

  test("numbers are those of the matrices themselves", async () => {
    const report = await analyze(base, tuned, { ...options, side: "right", k: 4 });
    const name = "model.layers.0.q_proj.weight";
    const [W, T] = [weights[name].values, planted[name]!.values];
    const direct = svd({ rows: 72, columns: 80, data: Float64Array.from(T, (value, i) => value - W[i]!) });
    const matrix = report.matrices.find((each) => each.name === name)!;
    near(matrix.effective_rank_delta, effectiveRank(direct.values));
    near(matrix.norm_delta, Math.hypot(...direct.values));
    near(matrix.norm_base, Math.hypot(...W));
    near(matrix.sigma_delta[0]!, direct.values[0]!);
    const largest = svd({ rows: 72, columns: 80, data: T });
    assert.equal(matrix.sigma_tuned.length, 72);
    matrix.sigma_tuned.forEach((value, i) => near(value, largest.values[i]!));
    assert.deepEqual([matrix.side, matrix.other_side.side, matrix.k], ["right", "left", 4]);
    assert.equal(matrix.intruders, 3);
  });

  test("amplification is in the directions that a difference of weights has, not in those of its rounding", async () => {
    const { matrices } = await analyze(base, tuned, options);
    for (const [name, rank] of [
      ["model.layers.0.q_proj.weight", 3],
      ["model.layers.0.up_proj.weight", 1],
    ] as const) {
      const [[rows, columns], W, T] = [weights[name].shape, weights[name].values, planted[name]!.values];
      const [m, n] = [rows!, columns!];
      const delta = svd({ rows: m, columns: n, data: Float64Array.from(T, (value, i) => value - W[i]!) });
      const along = projected(
        { rows: m, columns: n, data: Float64Array.from(W) },
        delta.left.slice(0, rank),
        delta.right.slice(0, rank),
      );
      const { amplification } = matrices.find((each) => each.name === name)!;
      assert.equal(amplification!.r, rank);
      near(amplification!.factor!, Math.hypot(...delta.values) / along);
    }
    // All k of them where ΔW has as many.
    assert.equal(matrices.find(({ name }) => name === "model.layers.1.q_proj.weight")!.amplification!.r, 10);
  });

  test("an adapter alone: the update without a base", async () => {
    const report = await analyze(undefined, join(METHODS, "lora-rslora"), options);
    assert.equal(report.base, null);
    assert.equal(report.total_intruders, null);
    assert.ok(report.matrices.length > 0);
    for (const each of report.matrices) {
      assert.equal(each.numeric_rank_delta, 4, each.name);
      assert.ok(each.effective_rank_delta > 1 && each.effective_rank_delta <= 4);
      assert.equal(each.amplification, null);
    }
    const whole = await analyze(join(BASES, "qwen2-tied"), join(METHODS, "lora-rslora"), options);
    for (const each of whole.matrices) {
      const alone = report.matrices.find(({ name }) => name === each.name)!;
      assert.deepEqual([each.sigma_delta, each.shape], [alone.sigma_delta, alone.shape]);
    }
    await rejects(analyze(undefined, join(METHODS, "dora"), options), /give the base too/);
    await rejects(analyze(undefined, join(METHODS, "vera"), options), /do not say what shape/);
  });

  for (const [method, rank] of [
    ["adalora-pruned", 6],
    ["loha", 16],
    ["lokr", 28],
    ["dora", 28],
  ] as const) {
    test(`${method}: every matrix that it is on, within the rank that it can have`, async () => {
      const {
        matrices,
        tuned: origin,
        warnings,
      } = await analyze(join(BASES, "qwen2-tied"), join(METHODS, method), options);
      assert.equal(origin.kind, "adapter");
      assert.equal(origin.method, method.replace("-pruned", ""));
      assert.ok(matrices.length > 3);
      assert.ok(matrices.every(({ numeric_rank_delta: own }) => own >= 1 && own <= rank));
      assert.match(warnings.join(), /shorter than 64/);
    });
  }

  test("checkpoints: intruders are followed by σ, rank and rotation", async () => {
    const name = "model.layers.0.q_proj.weight";
    const run = join(root, "run");
    for (const [step, count] of [
      [5, 0],
      [10, 1],
      [100, 2],
    ] as const) {
      const dir = join(run, `checkpoint-${step}`);
      await mkdir(dir, { recursive: true });
      const at = step === 5 ? scaledBy(weights[name], 1.001) : withIntruders(weights[name], count, 70);
      await writeTensors(join(dir, "model.safetensors"), { ...weights, [name]: at });
    }
    const { checkpoints } = await analyze(base, tuned, { ...options, checkpoints: run });
    assert.deepEqual(
      checkpoints!.map(({ step, total_intruders }) => [step, total_intruders]),
      [
        [5, 0],
        [10, 1],
        [100, 2],
      ],
    );
    const tracks = checkpoints!.map(({ matrices }) => matrices.find((each) => each.name === name)!.intruders);
    // At step 10 it is new. Then a stronger one overtakes it: θ = 2 and 2.5 times the largest of the base.
    assert.ok(tracks[1]![0]!.same_as_before! < 0.5);
    assert.equal(tracks[2]![1]!.rank_before, 1);
    assert.ok(tracks[2]![1]!.same_as_before! > 0.8);
    assert.ok(tracks[2]![0]!.same_as_before! < 0.6);
    assert.ok(tracks[2]![0]!.sigma > tracks[2]![1]!.sigma);
    await rejects(analyze(base, tuned, { ...options, checkpoints: root }), /no checkpoint-N folders/);
  });

  test("an analysis that is stopped goes on with what it had, and only with the same", async () => {
    const partialPath = join(root, "partial.jsonl");
    const stop = new AbortController();
    const reason = new Error("stopped");
    const stopped = analyze(base, tuned, {
      ...options,
      partialPath,
      signal: stop.signal,
      onProgress: ({ done }) => done === 2 && stop.abort(reason),
    });
    await assert.rejects(stopped, reason);
    const noted = (await readFile(partialPath, "utf8")).trim().split("\n").length - 1;
    assert.ok(noted >= 1 && noted < 3, `${noted} matrices`);
    const again = await analyze(base, tuned, { ...options, partialPath });
    assert.deepEqual(again, await analyze(base, tuned, options));
    // What was noted with another k is not taken.
    const other = await analyze(base, tuned, { ...options, partialPath, k: 2 });
    assert.equal(other.total_intruders, 3);
  });

  test("nothing changed, and settings that are out of range", async () => {
    const report = await analyze(base, base, options);
    assert.deepEqual([report.total_intruders, report.matrices.length, report.skipped.length], [0, 0, 4]);
    assert.match(report.warnings.join(), /nothing changed/);
    await rejects(analyze(base, tuned, { ...options, k: 0, epsilon: 2 }), /k is 0.*epsilon is 2/);
  });
});

/** Six digits are written. */
function near(got: number, expected: number): void {
  assert.ok(Math.abs(got - expected) <= 5e-6 * Math.abs(expected), `${got} and not ${expected}`);
}

async function rejects(promise: Promise<unknown>, pattern: RegExp): Promise<void> {
  const error: unknown = await promise.catch((reason: unknown) => reason);
  assert.ok(error instanceof LowrankError, String(error));
  assert.match(error.message, pattern);
}
