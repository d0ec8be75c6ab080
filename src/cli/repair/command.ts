/** `lowrank repair`: intruder dimensions of an adapter scaled down, as an adapter. */
import { resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { repairAdapter, type RepairOptions } from "../../analysis/repair.ts";
import type { RepairReport } from "../../analysis/repair-report.ts";
import type { Side } from "../../analysis/report.ts";
import { percentText } from "../../figures/percent.ts";
import { interruptible } from "../interrupt.ts";
import { integer, number } from "../options.ts";
import { Progress } from "../terminal/progress.ts";
import { table } from "../terminal/table.ts";

interface Flags {
  readonly lambda?: number;
  readonly out: string;
  readonly k?: number;
  readonly epsilon?: number;
  readonly side?: Side;
  readonly rank?: number | "exact";
  readonly topOnly?: true;
  readonly filter?: string;
  readonly embeddings?: true;
  readonly force?: true;
  readonly revision?: string;
  readonly offline?: true;
  readonly threads?: number;
  readonly cache: boolean;
  readonly json?: true;
}

const SHOWN = 10;
/** A part of ΔW(λ) that is worth a word. */
const NOTICEABLE = 0.05;

export function addRepairCommand(program: Command): void {
  program
    .command("repair")
    .description("scale the intruder dimensions of an adapter (or a tuned model), written as one that PEFT reads")
    .argument("<base>", "the model before: a folder, a name on the hub, or a .safetensors file")
    .argument("<adapter>", "an adapter of it, or the model after full fine-tuning")
    .requiredOption("--out <dir>", "folder to write")
    .option(
      "--lambda <x>",
      "what intruders are multiplied by: 1 changes nothing, 0 removes them (default: 0.75)",
      number(-10),
    )
    .option("--k <n>", "highest-ranking singular vectors that are looked at (default: 10)", integer(1))
    .option("--epsilon <x>", "a vector is an intruder below this largest |cosine| (default: 0.5)", number(0, 1))
    .addOption(
      new Option("--side <side>", "singular vectors that are compared (default: left)").choices(["left", "right"]),
    )
    .option("--rank <r>", "rank of repaired matrices, or exact for all directions (default: that of the adapter)", rank)
    .option(
      "--top-only",
      "only the highest-ranking intruder of each matrix, as in the paper (default: all of the first k)",
    )
    .option("--filter <glob>", "names of weights to repair (default: all)")
    .option("--embeddings", "embedding tables and the output layer too")
    .option("--force", "write the adapter even if it has no intruders")
    .option("--revision <name>", "branch, tag or commit on the hub")
    .option("--offline", "download nothing")
    .option("--threads <n>", "matrices that are decomposed at a time (default: one per core, at most 4)", integer(1))
    .option("--no-cache", "keep no decompositions of the base for the next time")
    .option("--json", "print the report as JSON on stdout, and everything else on stderr")
    .action(async (base: string, adapter: string, flags: Flags) => {
      await interruptible((signal) => runRepair(base, adapter, flags, signal));
    });
}

function rank(text: string): number | "exact" {
  if (text === "exact") return text;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError("expected a rank from 1 on, or exact.");
  return value;
}

async function runRepair(
  base: string,
  adapter: string,
  { cache, json, ...flags }: Flags,
  signal: AbortSignal,
): Promise<void> {
  const say = (text: string) => (json ? process.stderr : process.stdout).write(`${text}\n`);
  let bar: Progress | undefined;
  const options: RepairOptions = {
    ...flags,
    out: resolve(flags.out),
    signal,
    onNotice: (notice) => process.stderr.write(`note: ${notice}\n`),
    onProgress({ done, total }) {
      bar ??= new Progress({ label: "repair", total, unit: "matrices" });
      bar.update(done);
      if (done === total) bar.finish();
    },
    ...(cache ? {} : { cacheDir: false }),
  };
  const { report, isWritten } = await repairAdapter(base, adapter, options);
  if (json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  say(repairText(report));
  if (isWritten) say(`\nwritten to ${flags.out}`);
  else
    say(
      "\nThere is no intruder dimension to scale, and nothing was written (--force writes the adapter all the same).",
    );
}

function repairText(report: RepairReport): string {
  const { matrices, lambda, intruders_before: before, intruders_after: after, warnings } = report;
  const touched = matrices.filter(({ scaled_ranks }) => scaled_ranks.length > 0);
  const rows = touched
    .toSorted((a, b) => b.intruders_before - a.intruders_before)
    .slice(0, SHOWN)
    .map((each) => [
      each.name,
      String(each.intruders_before),
      each.scaled_ranks.slice(0, 6).join(" "),
      String(each.intruders_after),
      each.rank_before === null || each.rank_before === each.rank
        ? String(each.rank)
        : `${each.rank_before} → ${each.rank}`,
      percentText(each.truncation_error, { keepZeros: true, space: " " }),
    ]);
  const header = ["weight", "before", "scaled ranks", "after", "rank", "cut off by the rank"];
  const worst = Math.max(0, ...touched.map(({ truncation_error }) => truncation_error));
  return [
    ...(rows.length === 0 ? [] : [table(rows, { header })]),
    ...(touched.length > SHOWN ? [`… and ${touched.length - SHOWN} more`] : []),
    ...warnings.map((warning) => `\nnote: ${warning}`),
    ...(rows.length === 0 ? [] : [""]),
    `intruder dimensions: ${before} before, ${after} after, λ = ${lambda}, in ${matrices.length} matrices`,
    ...(worst > NOTICEABLE
      ? [
          `note: up to ${(100 * worst).toFixed(0)} % of the new update is lost to its rank; --rank exact keeps all of it`,
        ]
      : []),
  ].join("\n");
}
