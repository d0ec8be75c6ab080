/** `lowrank analyze`: what fine-tuning did to the weights, as a report to look at and as numbers. */
import { rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type Command, Option } from "commander";
import { analyze, type AnalyzeOptions, type AnalyzeProgress } from "../../analysis/analyze.ts";
import { checkpointsIn } from "../../analysis/checkpoint-tracks.ts";
import { writeReport } from "../../analysis/html/write-report.ts";
import { checkReportFolder, REPORT_FILE } from "../../analysis/report-folder.ts";
import type { Side } from "../../analysis/report.ts";
import { ConfigError } from "../../errors.ts";
import { asFormatError } from "../../formats/safetensors/source.ts";
import { interruptible } from "../interrupt.ts";
import { integer, number } from "../options.ts";
import { PhaseBars } from "../terminal/phase-bars.ts";
import { healthReport } from "./health-report.ts";

interface Flags {
  readonly out?: string;
  readonly checkpoints?: string;
  readonly k?: number;
  readonly epsilon?: number;
  readonly side?: Side;
  readonly filter?: string;
  readonly embeddings?: true;
  readonly alpha?: number;
  readonly seed?: number;
  readonly revision?: string;
  readonly offline?: true;
  readonly threads?: number;
  readonly cache: boolean;
  readonly json?: true;
}

/** Matrices that are done, while others are not: an interrupted analysis goes on from it. */
const PARTIAL = "partial-report.jsonl";

export function addAnalyzeCommand(program: Command): void {
  program
    .command("analyze")
    .description("what fine-tuning did to the weights: spectra, ranks, intruder dimensions, amplification")
    .argument("<base>", "the model before: a folder, a name on the hub, or a .safetensors file; - for none")
    .argument("[tuned]", "the model after, or an adapter; alone, an adapter is looked at without its base")
    .option("--out <dir>", "folder to write: index.html, report.json, figures (default: only the summary)")
    .option("--checkpoints <dir>", "folder of a run with checkpoint-N folders: intruders are followed through them")
    .option("--k <n>", "highest-ranking singular vectors that are looked at (default: 10)", integer(1))
    .option("--epsilon <x>", "a vector is an intruder below this largest |cosine| (default: 0.5)", number(0, 1))
    .addOption(
      new Option("--side <side>", "singular vectors that are compared (default: left)").choices(["left", "right"]),
    )
    .option("--filter <glob>", "names of weights to take: *q_proj*, or a part of the name (default: all)")
    .option("--embeddings", "embedding tables and the output layer too")
    .option("--alpha <x>", "alpha of a loralib file, which does not say it (default: its rank)", Number)
    .option("--seed <n>", "of the random subspaces (default: 0)", integer(0))
    .option("--revision <name>", "branch, tag or commit on the hub")
    .option("--offline", "download nothing")
    .option("--threads <n>", "matrices that are decomposed at a time (default: one per core, at most 4)", integer(1))
    .option("--no-cache", "keep no decompositions of the base for the next time")
    .option("--json", "print the report as JSON on stdout, and everything else on stderr")
    .action(async (base: string, tuned: string | undefined, flags: Flags) => {
      await interruptible((signal) => runAnalyze(base, tuned, flags, signal));
    });
}

async function runAnalyze(
  first: string,
  second: string | undefined,
  { out, cache, json, ...flags }: Flags,
  signal: AbortSignal,
): Promise<void> {
  const say = (text: string) => (json ? process.stderr : process.stdout).write(`${text}\n`);
  const { base, tuned } = await pairOf(first, second, flags.checkpoints);
  const dir = out === undefined ? undefined : resolve(out);
  if (dir !== undefined) await checkReportFolder(dir, [PARTIAL]);
  const partialPath = dir === undefined ? undefined : join(dir, PARTIAL);
  const bars = new PhaseBars(LABELS);
  const options: AnalyzeOptions = {
    ...flags,
    signal,
    onProgress: ({ phase, done, total }) => bars.show({ phase, done, total, initial: done, unit: "matrices" }),
    onNotice: (notice) => process.stderr.write(`note: ${notice}\n`),
    ...(cache ? {} : { cacheDir: false }),
    ...(partialPath === undefined ? {} : { partialPath }),
  };
  const report = await analyze(base, tuned, options)
    .finally(() => bars.end())
    .catch((error: unknown) => {
      if (signal.aborted && dir !== undefined) {
        process.stderr.write(`to go on where it stopped, give the same command again: ${out} has what is done\n`);
      }
      throw error;
    });
  if (dir !== undefined) {
    try {
      await writeReport(report, dir);
      await writeFile(join(dir, REPORT_FILE), `${JSON.stringify(report)}\n`);
    } catch (error) {
      throw asFormatError(error, dir, "the report cannot be written");
    }
    await rm(partialPath!, { force: true });
  }
  if (json) process.stdout.write(`${JSON.stringify(report)}\n`);
  say(healthReport(report, base, tuned));
  if (dir !== undefined) say(`\nwritten to ${out}: open ${join(out!, "index.html")}`);
}

/** With one name: an adapter alone; or a base, whose run's last checkpoint is looked at. */
async function pairOf(
  first: string,
  second: string | undefined,
  checkpoints: string | undefined,
): Promise<{ base: string | undefined; tuned: string }> {
  if (second !== undefined) return { base: first === "-" ? undefined : first, tuned: second };
  if (first === "-") throw new ConfigError({ where: "analyze", what: "there is nothing to look at" });
  if (checkpoints === undefined) return { base: undefined, tuned: first };
  return { base: first, tuned: (await checkpointsIn(checkpoints)).at(-1)!.path };
}

const LABELS: Readonly<Record<AnalyzeProgress["phase"], string>> = { matrices: "analyze", checkpoints: "checkpoints" };
