/** The folder of a repair. */
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LABELS_FILE } from "../data/datasets/classes.ts";
import { TEMPLATE_FOLDER } from "../data/text-files.ts";
import { ConfigError, listed } from "../errors.ts";
import { asFormatError } from "../formats/safetensors/source.ts";
import type { RepairReport } from "./repair-report.ts";

export const REPAIR_FILE = "repair.json";

/** What an earlier repair consists of: an adapter. Whole models are checked by what writes them. */
const ADAPTER = new Set([
  REPAIR_FILE,
  "adapter_config.json",
  "adapter_model.safetensors",
  "README.md",
  LABELS_FILE,
  TEMPLATE_FOLDER,
]);
const MODEL =
  /^(config|generation_config|tokenizer\w*|special_tokens_map|added_tokens|vocab)\.json$|^model(-\d+-of-\d+)?\.safetensors(\.index\.json)?$|\.(txt|model|jinja)$/;

/** @throws ConfigError unless the folder is new, empty, or an earlier repair */
export async function checkRepairFolder(dir: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(dir);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return;
    if (code === "ENOTDIR") throw refused(dir, "is a file");
    throw asFormatError(error, dir, "cannot be read");
  }
  if (names.length === 0) return;
  if (!names.includes(REPAIR_FILE)) throw refused(dir, "has files in it and is no earlier repair");
  const others = names.filter((name) => !ADAPTER.has(name) && !MODEL.test(name));
  if (others.length > 0) throw refused(dir, `is an earlier repair with other files in it: ${listed(others)}`);
}

function refused(where: string, what: string): ConfigError {
  return new ConfigError({ where, what, hint: "give another folder, or remove this one" });
}

export async function writeRepairReport(dir: string, report: RepairReport): Promise<void> {
  const path = join(dir, REPAIR_FILE);
  await writeFile(path, `${JSON.stringify(report, null, 2)}\n`).catch((error: unknown) => {
    throw asFormatError(error, path, "cannot be written");
  });
}
