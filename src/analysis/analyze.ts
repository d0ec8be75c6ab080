/**
 * What fine-tuning did to the weights of a model: spectra, ranks, intruder dimensions and amplification of every matrix, as one
 * {@link AnalysisReport}. One matrix after the other is read, decomposed in other threads and let go.
 */
import { ConfigError } from "../errors.ts";
import { checkpointsIn, trackCheckpoints } from "./checkpoint-tracks.ts";
import { locate } from "./locate.ts";
import { measurePair } from "./measure-pair.ts";
import { DEFAULT_EPSILON, DEFAULT_K, MIN_WIDTH } from "./measures/intruders.ts";
import { openDecomposer } from "./open-decomposer.ts";
import { openPartialReport } from "./partial-report.ts";
import type { AnalysisReport, AnalysisSettings, CheckpointReport, MatrixReport, Side } from "./report.ts";
import { rounded } from "./rounded.ts";
import { openPairs, type PairOptions, type WeightPairs } from "./weight-pairs.ts";

export interface AnalyzeOptions extends PairOptions {
  /** Tuned vectors that are looked at, the highest-ranking ones. Default: 10. */
  readonly k?: number;
  /** A vector is an intruder if its largest |cosine| with a base vector is below. Default: 0.5. */
  readonly epsilon?: number;
  /** Default: "left". */
  readonly side?: Side;
  /** Of the random subspaces. Default: 0. */
  readonly seed?: number;
  /** Folder with `checkpoint-N` folders, adapters or models: their intruders are followed. Default: none. */
  readonly checkpoints?: string;
  /** Matrices that are decomposed at a time. Default: one per core, at most 4. */
  readonly threads?: number;
  /** Of decompositions. Default: `LOWRANK_CACHE`, else `~/.cache/lowrank`; false: nothing is kept. */
  readonly cacheDir?: string | false;
  /** File that matrices are noted in as they are done, and taken from by a later call for the same. Default: none. */
  readonly partialPath?: string;
  readonly onProgress?: (progress: AnalyzeProgress) => void;
}

export interface AnalyzeProgress {
  readonly phase: "matrices" | "checkpoints";
  readonly done: number;
  readonly total: number;
  /** The matrix that was done last. */
  readonly name?: string;
}

/** Above so many elements one matrix is worked on at a time. */
const LARGE_ELEMENTS = 2 ** 23;

/**
 * @param base a model folder, a name on the hub or a .safetensors file; undefined: `tuned` is an adapter, of which ΔW alone is
 *   looked at
 * @param tuned the same, or an adapter of any method that can be merged
 * @throws ConfigError, DataError, FormatError if the two do not fit or are not what they should be; NumericError if a weight is
 *   not finite; the reason of the signal
 */
export async function analyze(
  base: string | undefined,
  tuned: string,
  options: AnalyzeOptions = {},
): Promise<AnalysisReport> {
  const settings = settingsOf(options);
  if (base === undefined && options.checkpoints !== undefined) {
    throw new ConfigError({ where: "checkpoints", what: "intruders are counted against a base, and there is none" });
  }
  const { signal, threads, cacheDir, onProgress } = options;
  if (options.checkpoints !== undefined) {
    // They are read when everything else is done: what is wrong with them is said before.
    for (const { path } of await checkpointsIn(options.checkpoints)) await locate(path, options);
  }
  const opened = await openPairs(base, tuned, options);
  const decomposer = await openDecomposer({
    ...(threads === undefined ? {} : { threads }),
    ...(cacheDir === undefined ? {} : { cacheDir }),
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    const partial =
      options.partialPath === undefined
        ? undefined
        : await openPartialReport(options.partialPath, keyOf(opened, settings));
    const total = opened.pairs.length;
    const found: (MatrixReport | undefined)[] = opened.pairs.map(({ name }) => partial?.known(name));
    const unchanged: ({ readonly name: string; readonly reason: string } | undefined)[] = [];
    const rest = opened.pairs.flatMap((pair, at) => (found[at] === undefined ? [{ pair, at }] : []));
    let done = total - rest.length;
    const measure = async (index: number) => {
      const { pair, at } = rest[index]!;
      signal?.throwIfAborted();
      const loaded = await pair.load();
      if (loaded.unchanged !== undefined) unchanged[at] = { name: pair.name, reason: loaded.unchanged };
      else {
        const r = "kind" in loaded.delta ? loaded.delta.B.length : opened.tuned.r;
        const { report } = await measurePair(pair, loaded, decomposer, settings, r);
        const made = rounded(report);
        found[at] = made;
        await partial?.add(made);
      }
      onProgress?.({ phase: "matrices", done: ++done, total, name: pair.name });
    };
    onProgress?.({ phase: "matrices", done, total });
    const isLarge = opened.pairs.some(({ shape: [rows, columns] }) => rows * columns > LARGE_ELEMENTS);
    await inTurns(rest.length, isLarge ? 1 : 2, measure);
    const matrices = found.filter((report) => report !== undefined);
    const checkpoints =
      options.checkpoints === undefined
        ? undefined
        : await trackCheckpoints(base!, options.checkpoints, decomposer, settings, options);
    return {
      format: "lowrank-analysis",
      version: 1,
      base: opened.base,
      tuned: opened.tuned,
      settings,
      total_intruders: opened.base === null ? null : matrices.reduce((sum, { intruders }) => sum + intruders, 0),
      warnings: [...opened.warnings, ...warningsOf(matrices, opened, checkpoints)],
      matrices,
      skipped: [...opened.skipped, ...unchanged.filter((each) => each !== undefined)],
      ...(checkpoints === undefined ? {} : { checkpoints }),
    };
  } finally {
    await decomposer.dispose();
    await opened.close();
  }
}

/** @throws ConfigError naming everything that is out of range */
export function settingsOf({
  k = DEFAULT_K,
  epsilon = DEFAULT_EPSILON,
  side = "left",
  seed = 0,
}: Pick<AnalyzeOptions, "k" | "epsilon" | "side" | "seed">): AnalysisSettings {
  const wrong = [
    ...(Number.isSafeInteger(k) && k >= 1 ? [] : [`k is ${k}, not a whole number from 1 on`]),
    ...(epsilon > 0 && epsilon <= 1 ? [] : [`epsilon is ${epsilon}, not above 0 and at most 1`]),
    ...(side === "left" || side === "right" ? [] : [`side is ${String(side)}, not left or right`]),
  ];
  if (wrong.length > 0) throw new ConfigError({ where: "analyze", what: wrong.join("; ") });
  return { k, epsilon, side, seed };
}

/** What a half-finished report is of. */
function keyOf({ base, tuned }: WeightPairs, settings: AnalysisSettings): string {
  return JSON.stringify({ base: base?.content_hash, tuned, settings });
}

/** Calls `work` for 0 to count − 1, so many at a time; the first error ends it, once what has begun is over. */
async function inTurns(count: number, atATime: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  let hasFailed = false;
  const run = async () => {
    while (next < count && !hasFailed) {
      try {
        await work(next++);
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    }
  };
  const results = await Promise.allSettled(Array.from({ length: Math.min(atATime, count) }, run));
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

function warningsOf(
  matrices: readonly MatrixReport[],
  { base, pairs }: WeightPairs,
  checkpoints: readonly CheckpointReport[] | undefined,
): string[] {
  if (matrices.length === 0)
    return [
      `nothing changed in the ${counted(pairs.length, "matrix", "matrices")} that ${pairs.length === 1 ? "was" : "were"} compared`,
    ];
  if (base === null) return ["there is no base: only the update is looked at, and intruders cannot be counted"];
  const { side } = matrices[0]!;
  const narrow = matrices.filter(({ shape }) => shape[side === "left" ? 0 : 1] < MIN_WIDTH);
  const tall = matrices.filter(({ spans }) => !spans);
  return [
    ...(narrow.length > 0
      ? [
          `${counted(narrow.length, "matrix has", "matrices have")} vectors shorter than ${MIN_WIDTH} (${some(narrow)}): ` +
            `unrelated vectors have large cosines there (about ${narrow[0]!.null_max_cos.toFixed(2)}), and intruders hide in them`,
        ]
      : []),
    ...(tall.length > 0
      ? [
          `${counted(tall.length, "matrix has", "matrices have")} fewer base vectors on the ${side} side than dimensions ` +
            `(${some(tall)}): a vector counts as an intruder there as soon as it leaves their span; see other_side`,
        ]
      : []),
    ...(checkpoints?.length === 0 ? ["there is no checkpoint to follow"] : []),
  ];
}

function counted(count: number, one: string, many: string): string {
  return count === 1 ? `1 ${one}` : `${count} ${many}`;
}

function some(matrices: readonly MatrixReport[]): string {
  const names = matrices.slice(0, 2).map(({ name, shape }) => `${name} [${shape.join(", ")}]`);
  return names.join(", ") + (matrices.length > 2 ? ", …" : "");
}
