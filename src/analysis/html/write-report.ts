/** The report of an analysis as a folder: `index.html`, which needs nothing else, and its figures and numbers as files. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { blocksOf, dataOf, figuresOf } from "../../figures/page/page.ts";
import { writePage, type WrittenPage } from "../../figures/page/write-page.ts";
import type { AnalysisReport } from "../report.ts";
import { reportPage, type ReportPageOptions } from "./report-page.ts";

export type { NamedReport } from "./model-figures.ts";

/** Figures of single matrices are drawn as PNG for this many matrices, those with most intruders: each takes about a second. */
const MAX_PNG_MATRICES = 6;

/** Files of single matrices. */
const OF_MATRIX = /^m\d{3,}-[\w-]*\.(svg|png|csv)$/;

/**
 * Writes `index.html`, `figures/*.svg` and `*.png`, `data/*.csv`. Those of an earlier report's matrices are removed.
 * @param options `series`: other reports that are drawn beside this one
 */
export async function writeReport(
  report: AnalysisReport,
  outDir: string,
  options: ReportPageOptions = {},
): Promise<WrittenPage> {
  const chosen = report.matrices
    .map(({ intruders }, i) => ({ intruders, i }))
    .sort((a, b) => b.intruders - a.intruders || a.i - b.i)
    .slice(0, MAX_PNG_MATRICES);
  const prefixes = new Set(chosen.map(({ i }) => `m${String(i + 1).padStart(3, "0")}`));
  const page = reportPage(report, options);
  const written = await writePage(page, outDir, {
    png: (id) => !/^m\d{3,}-/.test(id) || prefixes.has(id.slice(0, id.indexOf("-"))),
  });
  const blocks = blocksOf(page);
  const names = new Set([
    ...figuresOf(blocks).flatMap(({ id }) => [`${id}.svg`, `${id}.png`]),
    ...dataOf(blocks).map(({ name }) => name),
  ]);
  for (const folder of ["figures", "data"]) {
    for (const name of await readdir(join(outDir, folder))) {
      if (OF_MATRIX.test(name) && !names.has(name)) await rm(join(outDir, folder, name));
    }
  }
  return written;
}
