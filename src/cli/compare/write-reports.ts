/** What a comparison writes for people and programs: `compare.json`, `compare.md`, and the pictures. */
import { availableParallelism, cpus, totalmem } from "node:os";
import { basename, join } from "node:path";
import type { RunConfig } from "../../config/read.ts";
import { svgToPng } from "../../figures/png.ts";
import type { Comparison } from "../../train/compare/comparison.ts";
import { comparisonFigures } from "../../train/compare/figures.ts";
import { bytesText, reportMarkdown, spreadText } from "../../train/compare/markdown.ts";
import type { Evaluations, JobResult, Measured } from "../../train/compare/result.ts";
import { byTask, type Row, rowOf } from "../../train/compare/summary.ts";
import { replaceFile } from "../../train/run/durable-file.ts";
import { table } from "../terminal/table.ts";
import { versions } from "../versions.ts";
import { baseJob, cellJob, type PreparedComparison } from "./prepare.ts";

type Results = ReadonlyMap<string, JobResult<Evaluations>>;

/** The rows so far, and a short table of them for a terminal. */
export function collected(
  { cells, seeds }: Comparison,
  _prepared: PreparedComparison,
  results: Results,
): { readonly rows: readonly Row[]; readonly text: string } {
  const rows = cells.map((cell) =>
    rowOf(
      cell,
      seeds.map((seed) => ({
        seed,
        result: results.get(cellJob(cell, seed)) as JobResult<Measured> | undefined,
        before: results.get(baseJob(cell, seeds, seed)),
      })),
    ),
  );
  const lines = byTask(rows).map((row) => [
    row.cell,
    row.storage,
    row.trainableParameters?.toLocaleString("en-US") ?? "-",
    spreadText(row.finalLoss, 3),
    row.task === undefined ? (row.failures.length > 0 ? "failed" : "-") : spreadText(row.task, 3),
    spreadText(row.pretraining, 3),
    spreadText(row.tokensPerSecond, 0),
    row.peakBytes === undefined ? "-" : bytesText(row.peakBytes.mean),
  ]);
  const header = ["method", "storage", "trainable", "loss", "task ppl", "pretraining ppl", "tokens/s", "memory"];
  const align = header.map((_, i) => (i < 2 ? ("left" as const) : ("right" as const)));
  return { rows, text: table(lines, { header, align }) };
}

/** @returns paths of what was written */
export async function writeReports(
  dir: string,
  comparison: Comparison,
  prepared: PreparedComparison,
  results: Results,
  pictures: boolean,
): Promise<string[]> {
  const { rows } = collected(comparison, prepared, results);
  const { cells, seeds, path, forgetting, notes } = comparison;
  const { config } = cells[0]!;
  const budget = prepared.budgets.get(seeds[0]!)!;
  const data = names(config.dataset);
  const subtitle = `${config.modelNameOrPath.split(/[\\/]/).slice(-2).join("/")} on ${data}: ${budget.tokens.toLocaleString("en-US")} tokens in ${budget.steps} steps, seeds ${seeds.join(", ")}`;
  const written: string[] = [];
  const shown: string[] = [];
  if (pictures) {
    for (const { name, svg } of comparisonFigures(rows, subtitle)) {
      await replaceFile(join(dir, `${name}.svg`), svg);
      await replaceFile(join(dir, `${name}.png`), svgToPng(svg));
      written.push(join(dir, `${name}.svg`));
      shown.push(`${name}.svg`);
    }
  }
  const software = await versions();
  const made = { ...machine(config), ...software };
  const title = basename(path).replace(/\.\w+$/, "");
  const report = {
    title,
    model: config.modelNameOrPath,
    data,
    seeds,
    budget,
    rows,
    notes,
    evaluated: config.evalDataset === null ? `${config.valSize} of it, held back` : names(config.evalDataset),
    pretraining: forgetting === undefined ? undefined : names(forgetting.dataset),
    machine: `${made.cpu}, ${made.cores} cores, ${config.threads ?? made.cores} threads; lowrank ${software["lowrank"]}, ONNX Runtime ${software["onnxruntime-node"]}, Node ${software["node"]}`,
  };
  await replaceFile(join(dir, "compare.md"), reportMarkdown({ ...report, pictures: shown }));
  const jobs = prepared.jobs.map(({ job, kind, cell, seed }) => {
    const { identity: _identity, format: _format, ...result } = results.get(job) ?? { status: "to do" };
    return { ...result, job, kind, cell: cell.name, storage: cell.storage, ...(kind === "cell" ? { seed } : {}) };
  });
  const json = { ...report, machine: made, jobs };
  await replaceFile(join(dir, "compare.json"), `${JSON.stringify(json, null, 1)}\n`);
  return [join(dir, "compare.md"), join(dir, "compare.json"), ...written];
}

function names(list: readonly string[] | null): string {
  return (list ?? []).map((name) => basename(name)).join(", ");
}

function machine({ threads }: RunConfig) {
  const [first] = cpus();
  return {
    cpu: first?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    threads: threads ?? availableParallelism(),
    memoryGb: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform}-${process.arch}`,
  };
}
