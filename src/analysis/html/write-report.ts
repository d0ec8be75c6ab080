/** The report of an analysis as a folder: `index.html`, which needs nothing else, and its figures and numbers as files. */
import { writePage, type WrittenPage } from "../../figures/page/write-page.ts";
import type { AnalysisReport } from "../report.ts";
import { reportPage, type ReportPageOptions } from "./report-page.ts";

/** Figures of single matrices are drawn as PNG for this many matrices, those with most intruders: each takes about a second. */
const MAX_PNG_MATRICES = 6;

/**
 * Writes `index.html`, `figures/*.svg` and `*.png`, `data/*.csv`.
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
  return writePage(reportPage(report, options), outDir, {
    png: (id) => !/^m\d{3,}-/.test(id) || prefixes.has(id.slice(0, id.indexOf("-"))),
  });
}
