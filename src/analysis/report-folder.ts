/** The folder of a report: what may be written over, and what may not. */
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, listed } from "../errors.ts";
import { asFormatError } from "../formats/safetensors/source.ts";

export const REPORT_FILE = "report.json";

/** What a report consists of. */
const OWN = new Set([REPORT_FILE, "index.html", "figures", "data"]);

/**
 * Makes the folder, or finds that it is free: empty, or an earlier report.
 * @param also names that may be there besides
 * @throws ConfigError if something else would be mixed with the report; FormatError if it cannot be made
 */
export async function checkReportFolder(dir: string, also: readonly string[] = []): Promise<void> {
  const refuse = (what: string) =>
    new ConfigError({ where: dir, what, hint: "give another folder, or remove this one" });
  let names: string[];
  try {
    await mkdir(dir, { recursive: true });
    names = await readdir(dir);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" || code === "ENOTDIR") throw refuse("is, or is in, a file");
    throw asFormatError(error, dir, "cannot be made");
  }
  const others = names.filter((name) => !OWN.has(name) && !also.includes(name));
  if (others.length > 0) {
    const isEarlier = await isReport(join(dir, REPORT_FILE));
    throw refuse(
      `${isEarlier ? "is an earlier report with other files in it" : "has files in it and is no earlier report"}: ${listed(others)}`,
    );
  }
  const isOurs =
    names.length === 0 || names.some((name) => also.includes(name)) || (await isReport(join(dir, REPORT_FILE)));
  if (!isOurs) throw refuse("has files in it and is no earlier report");
}

async function isReport(path: string): Promise<boolean> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.includes('"lowrank-analysis"');
}
