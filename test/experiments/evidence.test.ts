/** A stranger computes verdicts again from `results.json` alone: of `subspace`, on adapters that were drawn at random. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { AMPLIFICATION } from "../../src/experiments/definitions/amplification.ts";
import { SUBSPACE } from "../../src/experiments/definitions/subspace.ts";
import type { Experiment, Results } from "../../src/experiments/experiment.ts";
import { writeReport } from "../../src/experiments/frame/report.ts";
import type { TrainSettings } from "../../src/experiments/jobs/train.ts";
import { baseMatrices, FINAL, HEAD, writeTuned } from "../../src/experiments/rig/weights-file.ts";
import { Random } from "../../src/random.ts";

const SEEDS = [0, 1, 2];

let root: string;
before(async () => void (root = await mkdtemp(join(tmpdir(), "lowrank-evidence-"))));
after(() => rm(root, { recursive: true, force: true }));

interface Written {
  readonly claims: readonly {
    readonly claim: string;
    readonly holds: string;
    readonly evidence: readonly {
      readonly of?: string;
      readonly test: string;
      readonly values: readonly number[];
      readonly against: readonly number[] | number;
      readonly margin: number;
    }[];
  }[];
  readonly measurements: readonly {
    readonly name: string;
    readonly columns: readonly string[];
    readonly rows: readonly (readonly (string | number | null)[])[];
  }[];
  readonly figures: readonly { readonly name: string; readonly data: string }[];
}

/** With adapters of this rank and seed: the first directions of A are the same for all, so that something is shared. */
async function written(experiment: Experiment): Promise<{ raw: Written; dir: string }> {
  const layers = [...(await baseMatrices()).values()].map(({ layer }) => layer);
  const chosen = layers.filter(({ name }) => /\.[qv]_proj$/.test(name));
  const scale = { seeds: SEEDS, quick: false };
  const folders = new Map<string, string>();
  for (const { settings } of experiment.jobs(scale)) {
    const key = JSON.stringify(settings);
    if (folders.has(key)) continue;
    const { tuning, seed } = settings as TrainSettings;
    assert.ok(tuning.method === "lora");
    const folder = join(root, `${experiment.name}-${folders.size}`);
    folders.set(key, folder);
    await mkdir(folder);
    const matrices = new Map(
      chosen.map(({ name, inFeatures, outFeatures }, i) => {
        const [own, same] = [new Random(seed + 1, i), new Random(9, i)];
        const A = Float32Array.from(
          { length: tuning.r * inFeatures },
          (_, at) => own.normal() + (at < inFeatures ? 2 * same.normal() : 0),
        );
        return [name, { A, B: Float32Array.from({ length: outFeatures * tuning.r }, () => 0.01 * own.normal()) }];
      }),
    );
    const head = { name: HEAD, shape: [1], data: new Float32Array(1) };
    await writeTuned(join(folder, FINAL), layers, matrices, head, 2);
  }
  const results: Results = {
    // Only whether it is there is looked at.
    of: (wanted) => (folders.has(JSON.stringify(wanted.settings)) ? ({} as never) : undefined),
    folder: ({ settings }) => folders.get(JSON.stringify(settings))!,
  };
  const conclusion = await experiment.conclude(results, scale);
  const dir = join(root, experiment.name);
  await mkdir(dir);
  await writeReport(dir, { experiment, scale, conclusion, jobs: [], left: 0, software: [] });
  return { raw: JSON.parse(await readFile(join(dir, "results.json"), "utf8")) as Written, dir };
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** By the rule that the report states. */
function decided({ test: kind, values, against, margin }: Written["claims"][number]["evidence"][number]): string {
  const found = values.map((value, i) => value - (typeof against === "number" ? against : against[i]!));
  const middle = mean(found);
  const variance = found.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (found.length - 1);
  const error = Math.sqrt(variance / found.length);
  if (kind === "same") {
    if (Math.abs(middle) + 2 * error < margin) return "yes";
    return Math.abs(middle) - 2 * error > margin ? "no" : "inconclusive";
  }
  assert.equal(kind, "above");
  return middle - margin > 2 * error ? "yes" : middle - margin < -2 * error ? "no" : "inconclusive";
}

function assertVerdicts({ claims }: Written): void {
  assert.ok(claims.length > 3);
  for (const { claim, holds, evidence } of claims) {
    const found = evidence.map(decided);
    const all = found.includes("no") ? "no" : found.includes("inconclusive") ? "inconclusive" : "yes";
    assert.equal(all, holds, claim);
  }
}

test("subspace: from φ of every layer and seed to each verdict", async () => {
  const { raw, dir } = await written(SUBSPACE);
  assertVerdicts(raw);
  const [table] = raw.measurements;
  assert.equal(table!.name, "overlaps-by-layer");
  // Two comparisons, two kinds of directions, two matrices, four layers; and three pairs of random matrices.
  assert.equal(table!.rows.length, 2 * 2 * 2 * 4 * SEEDS.length + SEEDS.length);
  const rows = table!.rows.map((row) => Object.fromEntries(row.map((cell, i) => [table!.columns[i]!, cell])));
  const bySeed = (compared: string, directions: string, matrix: string | null, value: (phi: number[]) => number) =>
    SEEDS.map((seed) => {
      const found = rows.filter(
        (row) =>
          row["seed"] === seed &&
          row["compared"] === compared &&
          row["directions of"] === directions &&
          row["matrix"] === matrix,
      );
      return mean(found.map((row) => value(Array.from({ length: 8 }, (_, i) => Number(row[`φ(${i + 1}, ${i + 1})`])))));
    });
  const ranks = "r = 8 and r = 64";
  const seeds = "two seeds of r = 64";
  const [first, last] = [(phi: number[]) => phi[0]!, (phi: number[]) => phi[7]!];
  const expected = [
    [bySeed(ranks, "ΔW", "q_proj", first), SEEDS.map(() => 0.5)],
    [bySeed(ranks, "ΔW", "v_proj", first), SEEDS.map(() => 0.5)],
    [bySeed(ranks, "ΔW", "q_proj", first), bySeed(ranks, "ΔW", "q_proj", last)],
    [bySeed(ranks, "ΔW", "v_proj", first), bySeed(ranks, "ΔW", "v_proj", last)],
    [bySeed(seeds, "ΔW", "q_proj", mean), bySeed("two random matrices", "Gaussian", null, mean)],
    [bySeed(seeds, "ΔW", "v_proj", mean), bySeed("two random matrices", "Gaussian", null, mean)],
    [bySeed(seeds, "ΔW", "q_proj", mean), bySeed(seeds, "ΔW", "v_proj", mean)],
  ];
  const evidence = raw.claims.flatMap((claim) => claim.evidence);
  assert.equal(evidence.length, expected.length);
  for (const [i, { values, against }] of evidence.entries()) {
    const [more, less] = expected[i]!;
    const levels = typeof against === "number" ? values.map(() => against) : against;
    // The same sums in another order.
    values.forEach((value, at) => assert.ok(Math.abs(value - more![at]!) < 1e-12, `${i}: ${value}`));
    levels.forEach((value, at) => assert.ok(Math.abs(value - less![at]!) < 1e-12, `${i}: ${value}`));
  }
  // Every figure has its numbers beside it.
  assert.equal(raw.figures.length, 6);
  for (const { name, data } of raw.figures) {
    const lines = (await readFile(join(dir, data), "utf8")).trim().split("\n");
    const size = lines.slice(1).map((line) => line.replaceAll(/"[^"]*"/g, "").split(",").length);
    assert.ok(lines.length > 16 && new Set(size).size === 1, name);
  }
});

test("amplification: ‖Uᵀ W₀ V‖ of every layer and seed", async () => {
  const { raw } = await written(AMPLIFICATION);
  assertVerdicts(raw);
  const [table] = raw.measurements;
  const column = (name: string) => table!.columns.indexOf(name);
  assert.equal(table!.rows.length, 2 * 4 * SEEDS.length);
  const along = SEEDS.map((seed) =>
    mean(
      table!.rows
        .filter((row) => row[column("r")] === 64 && row[column("seed")] === seed)
        .map((row) => Number(row[column("ΔW")])),
    ),
  );
  const [, high] = raw.claims[0]!.evidence;
  assert.equal(high!.of, "r = 64");
  high!.values.forEach((value, i) => assert.ok(Math.abs(value - along[i]!) < 1e-12 * value));
});
