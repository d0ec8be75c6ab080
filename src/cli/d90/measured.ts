/** What the runs of `lowrank d90` have measured, in a file that is added to: a run that is there is not run again. */
import { createHash } from "node:crypto";
import { appendFile, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { DataError } from "../../errors.ts";

export const MEASURED_FILE = "d90.jsonl";

/** A line of the file. */
export interface Measured {
  /** The run: "base", "full", or the number of dimensions. */
  readonly d: "base" | "full" | number;
  /** Mean loss on the held-out set, nats. */
  readonly eval_loss: number;
  readonly learning_rate: number;
  /** Of what all runs have in common: lines of other settings are left aside. */
  readonly settings: string;
}

/** Of settings, in whatever order they are. */
export function settingsId(settings: object): string {
  const sorted = Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256").update(JSON.stringify(sorted)).digest("hex").slice(0, 16);
}

/** @throws DataError if the file is broken before its last line, which a run that was killed may have left unfinished */
export async function readMeasured(dir: string, settings: string): Promise<Map<Measured["d"], Measured>> {
  const path = join(dir, MEASURED_FILE);
  const text = await readFile(path, "utf8").catch(() => "");
  const lines = text.split("\n");
  const found = new Map<Measured["d"], Measured>();
  lines.forEach((line, i) => {
    if (line === "") return;
    try {
      const row = JSON.parse(line) as Measured;
      if (row.settings === settings && Number.isFinite(row.eval_loss)) found.set(row.d, row);
    } catch (cause) {
      if (i < lines.length - 1) {
        throw new DataError({ where: `${path}:${i + 1}`, what: "not a line of JSON", hint: "remove the line", cause });
      }
    }
  });
  return found;
}

export async function addMeasured(dir: string, row: Measured): Promise<void> {
  await mkdir(dir, { recursive: true });
  await appendFile(join(dir, MEASURED_FILE), `${JSON.stringify(row)}\n`);
}
