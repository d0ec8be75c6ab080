/** How intruders come and grow over the checkpoints of a run: their σ, their rank, and how far they turn between two. */
import { join } from "node:path";
import { ConfigError } from "../errors.ts";
import { namesInFolder, statIfThere } from "../formats/safetensors/user-folder.ts";
import type { Columns } from "../linear-algebra/columns.ts";
import type { AnalyzeOptions } from "./analyze.ts";
import type { Decomposer } from "./decomposer.ts";
import { updateSvd, vectorsOf } from "./measure-pair.ts";
import { intrudersAmong } from "./measures/intruders.ts";
import { effectiveRank } from "./measures/ranks.ts";
import { cosines, maxCosines } from "./measures/similarity.ts";
import type { AnalysisSettings, CheckpointReport, TrackedIntruder } from "./report.ts";
import { rounded } from "./rounded.ts";
import { openPairs, type WeightPair, type WeightPairs } from "./weight-pairs.ts";

interface Checkpoint {
  readonly step: number;
  readonly path: string;
}

/** Whole checkpoints in a run's folder, by rising step. @throws ConfigError if there are none; FormatError if they may not be read */
export async function checkpointsIn(dir: string): Promise<Checkpoint[]> {
  const there = await statIfThere(dir);
  if (there?.isDirectory() !== true) {
    const what = there === undefined ? "there is no such folder" : "this is a file: give the folder of a run";
    throw new ConfigError({ where: "--checkpoints", what, got: dir });
  }
  const names = await namesInFolder(dir);
  const found: Checkpoint[] = [];
  for (const name of names) {
    const digits = /^checkpoint-(\d+)$/.exec(name)?.[1];
    const path = join(dir, name);
    if (digits !== undefined && (await statIfThere(path))?.isDirectory() === true)
      found.push({ step: Number(digits), path });
  }
  if (found.length > 0) return found.toSorted((a, b) => a.step - b.step);
  throw new ConfigError({
    where: "--checkpoints",
    what: "the folder has no checkpoint-N folders",
    got: dir,
    hint: "give the output_dir of a run that saved some: save_steps: 50",
  });
}

/** One report for each checkpoint. Matrices go from the first checkpoint to the last, so that a base is decomposed once. */
export async function trackCheckpoints(
  base: string,
  dir: string,
  decomposer: Decomposer,
  settings: AnalysisSettings,
  options: AnalyzeOptions,
): Promise<CheckpointReport[]> {
  const checkpoints = await checkpointsIn(dir);
  const opened: WeightPairs[] = [];
  try {
    for (const { path } of checkpoints) opened.push(await openPairs(base, path, options));
    const names = [...new Set(opened.flatMap(({ pairs }) => pairs.map(({ name }) => name)))];
    options.onProgress?.({ phase: "checkpoints", done: 0, total: names.length });
    const tracks = checkpoints.map(() => new Map<string, Tracked>());
    for (const [i, name] of names.entries()) {
      let before: Columns | undefined;
      for (const [at, { pairs }] of opened.entries()) {
        options.signal?.throwIfAborted();
        const pair = pairs.find((each) => each.name === name);
        if (pair === undefined) continue;
        const tracked = await trackedIn(pair, decomposer, settings, before);
        tracks[at]!.set(name, tracked);
        before = tracked.vectors;
      }
      options.onProgress?.({ phase: "checkpoints", done: i + 1, total: names.length, name });
    }
    return checkpoints.map(({ step, path }, at) => {
      const found = [...tracks[at]!];
      const ranks = found.map(([, { effectiveRankDelta }]) => effectiveRankDelta);
      return rounded({
        step,
        path,
        total_intruders: found.reduce((sum, [, { intruders }]) => sum + intruders.length, 0),
        effective_rank_delta: ranks.length === 0 ? 0 : ranks.reduce((a, b) => a + b, 0) / ranks.length,
        matrices: found.map(([name, { intruders }]) => ({ name, intruders })),
      });
    });
  } finally {
    for (const each of opened) await each.close();
  }
}

interface Tracked {
  readonly intruders: readonly TrackedIntruder[];
  readonly effectiveRankDelta: number;
  /** The first k of the tuned matrix. */
  readonly vectors: Columns;
}

/** @param before the first k vectors of the last checkpoint; undefined in the first */
async function trackedIn(
  pair: WeightPair,
  decomposer: Decomposer,
  { k, epsilon, side }: AnalysisSettings,
  before: Columns | undefined,
): Promise<Tracked> {
  const { base, tuned, delta, unchanged } = await pair.load();
  const update = await updateSvd(delta, 1, decomposer);
  const [known, after] = await Promise.all([
    decomposer.svd(base!),
    unchanged === undefined ? decomposer.svd(tuned!, k + 1, { keep: false }) : decomposer.svd(base!),
  ]);
  const vectors = vectorsOf(after, side).slice(0, k);
  const similar = cosines(vectorsOf(known, side), vectors);
  const { found } = intrudersAmong(maxCosines(similar), {
    values: after.values,
    baseVectors: similar.rows,
    width: pair.shape[side === "left" ? 0 : 1],
    k,
    epsilon,
    side,
  });
  const intruders = found.map(({ rank, sigma, maxCos }): TrackedIntruder => {
    const [same = null] = before === undefined ? [] : maxCosines(cosines(before, [vectors[rank - 1]!])).max;
    const nearest = before === undefined ? undefined : maxCosines(cosines(before, [vectors[rank - 1]!])).nearest[0];
    return { rank, sigma, max_cos: maxCos, same_as_before: same, rank_before: nearest ?? null };
  });
  return { intruders, effectiveRankDelta: unchanged === undefined ? effectiveRank(update.values) : 0, vectors };
}
