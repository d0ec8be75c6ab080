/**
 * Intruder dimensions of an adapter scaled down (Shuttleworth et al. 2024, arXiv 2410.21228, §5), as an adapter:
 *
 *     W(λ) = W₀ + ΔW + (λ − 1) Σ uᵢ σᵢ vᵢᵀ     over the intruders among the first k vectors of W₀ + ΔW
 *
 * λ = 1 changes nothing, λ = 0 takes them away. As in PEFT's `reduce_intruder_dimension` all intruders of a matrix are scaled,
 * and the new ΔW is brought back to the adapter's rank by its largest singular values, √σ on either factor; the paper scales the
 * highest-ranking one alone. ΔW(λ) has up to r + intruders directions: what the rank cuts off is said.
 *
 * (PEFT's documentation says that a larger λ takes more away; its code, and this, do what is written above.)
 */
import { ConfigError } from "../errors.ts";
import { settingsOf } from "./analyze.ts";
import { openDecomposer } from "./open-decomposer.ts";
import { repairedAdapter } from "./repair-adapter.ts";
import type { RepairCall, RepairOptions } from "./repair-call.ts";
import { repairedCheckpoint } from "./repair-checkpoint.ts";
import { checkRepairFolder, writeRepairReport } from "./repair-folder.ts";
import type { RepairedMatrix, RepairReport } from "./repair-report.ts";
import { rounded } from "./rounded.ts";
import { openPairs } from "./weight-pairs.ts";

export type { RepairOptions } from "./repair-call.ts";

export interface RepairResult {
  readonly report: RepairReport;
  /** Nothing was written if there were no intruders. */
  readonly isWritten: boolean;
}

const DEFAULT_LAMBDA = 0.75;

/**
 * Scales the intruders of an adapter, and writes what comes of it as a LoRA adapter that PEFT reads; or those of a whole
 * checkpoint, and writes a model.
 * @throws ConfigError if a setting is out of range, the folder is not free, or the update has no rank that could be kept
 */
export async function repairAdapter(base: string, tuned: string, options: RepairOptions): Promise<RepairResult> {
  const { lambda = DEFAULT_LAMBDA, rank, signal, threads, cacheDir, force = false } = options;
  const settings = settingsOf(options);
  if (!Number.isFinite(lambda)) {
    throw new ConfigError({ where: "lambda", what: "is not a number", got: lambda, expected: "0.7, for example" });
  }
  if (rank !== undefined && rank !== "exact" && !(Number.isSafeInteger(rank) && rank >= 1)) {
    throw new ConfigError({
      where: "rank",
      what: "is no rank",
      got: rank,
      expected: "a whole number from 1 on, or exact",
    });
  }
  await checkRepairFolder(options.out);
  const pairs = await openPairs(base, tuned, options);
  const decomposer = await openDecomposer({
    ...(threads === undefined ? {} : { threads }),
    ...(cacheDir === undefined ? {} : { cacheDir }),
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    const call: RepairCall = { pairs, decomposer, settings, lambda, options };
    const { adapter } = pairs;
    const made = adapter === undefined ? await repairedCheckpoint(call) : await repairedAdapter(call, adapter);
    const isNeeded = made.matrices.some(({ intruders_before }) => intruders_before > 0);
    const sum = (of: (matrix: RepairedMatrix) => number) => made.matrices.reduce((total, each) => total + of(each), 0);
    const report: RepairReport = rounded({
      format: "lowrank-repair",
      version: 1,
      base: pairs.base!,
      tuned: pairs.tuned,
      lambda,
      settings,
      top_only: options.topOnly ?? false,
      intruders_before: sum(({ intruders_before }) => intruders_before),
      intruders_after: sum(({ intruders_after }) => intruders_after),
      matrices: made.matrices,
      warnings: [...pairs.warnings, ...made.warnings],
    });
    if (!isNeeded && !force) return { report, isWritten: false };
    await made.write(options.out);
    await writeRepairReport(options.out, report);
    return { report, isWritten: true };
  } finally {
    await decomposer.dispose();
    await pairs.close();
  }
}
