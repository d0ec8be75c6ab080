/** The folder of a repair. */
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LABELS_FILE } from "../data/datasets/classes.ts";
import { TEMPLATE_FOLDER } from "../data/text-files.ts";
import { ConfigError, listed } from "../errors.ts";
import { MODEL_CONFIG_FILE } from "../formats/model/config.ts";
import { COMPANIONS, copyCompanions } from "../formats/model/write.ts";
import { asFormatError } from "../formats/safetensors/source.ts";
import type { RepairReport } from "./repair-report.ts";

export const REPAIR_FILE = "repair.json";

/** Beside the weights and settings of an adapter or a model: tokenizer, chat templates, names of the classes. */
const BESIDE: readonly string[] = [...COMPANIONS, LABELS_FILE, TEMPLATE_FOLDER];
/** What an earlier repair consists of. */
const OWN = new Set([
  ...BESIDE,
  REPAIR_FILE,
  "adapter_config.json",
  "adapter_model.safetensors",
  "README.md",
  MODEL_CONFIG_FILE,
]);
const WEIGHTS = /^model(-\d+-of-\d+)?\.safetensors(\.index\.json)?$/;

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
  const others = names.filter((name) => !OWN.has(name) && !WEIGHTS.test(name));
  if (others.length > 0) throw refused(dir, `is an earlier repair with other files in it: ${listed(others)}`);
}

/** Copies what belongs beside the weights; none that an earlier repair left stays. @param also names of further files */
export async function replaceCompanions(dir: string, from: string, also: readonly string[] = []): Promise<void> {
  try {
    for (const name of [...BESIDE, ...also]) await rm(join(dir, name), { recursive: true, force: true });
    await copyCompanions(dir, [from], [LABELS_FILE, ...also]);
  } catch (error) {
    throw asFormatError(error, dir, "the files beside the weights cannot be copied");
  }
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
