/** Matrices of a report that are done, in a file: an analysis that was stopped goes on where it was. */
import { appendFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { asFormatError } from "../formats/safetensors/source.ts";
import type { MatrixReport } from "./report.ts";

export interface PartialReport {
  /** What an earlier call found for a matrix; undefined if it came not so far. */
  known(name: string): MatrixReport | undefined;
  add(report: MatrixReport): Promise<void>;
}

/**
 * @param key what the report is of: a file of something else is begun anew
 * @throws FormatError if the file cannot be written
 */
export async function openPartialReport(path: string, key: string): Promise<PartialReport> {
  const lines = (await readFile(path, "utf8").catch(() => "")).split("\n");
  const known = new Map<string, MatrixReport>();
  const isSame = lines[0] === key;
  // The last line may have been cut off.
  for (const line of isSame ? lines.slice(1) : []) {
    try {
      const report = JSON.parse(line) as MatrixReport;
      known.set(report.name, report);
    } catch {
      continue;
    }
  }
  try {
    await mkdir(dirname(path), { recursive: true });
    const text = [key, ...[...known.values()].map((report) => JSON.stringify(report))].join("\n");
    await writeFile(path, `${text}\n`);
  } catch (error) {
    throw asFormatError(error, path, "cannot be written");
  }
  return {
    known: (name) => known.get(name),
    async add(report) {
      known.set(report.name, report);
      await appendFile(path, `${JSON.stringify(report)}\n`).catch((error: unknown) => {
        throw asFormatError(error, path, "cannot be written");
      });
    },
  };
}
