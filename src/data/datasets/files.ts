/**
 * The files of a data set: one file, or those of a folder and the folders in it, in the order of their names.
 *
 * A folder may be divided into splits by the names of its files, as mlx-lm (`train.jsonl`, `valid.jsonl`, `test.jsonl`) and the
 * hub (`data/train-00000-of-00002.parquet`) have it. Then only the files of the split that is asked for are read.
 */
import { readdir, stat } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { DataError, listed } from "../../errors.ts";
import { asDataError } from "./readers/bytes.ts";
import { EXTENSIONS, findReader, readerOf } from "./readers/index.ts";

export interface DataFiles {
  readonly files: readonly string[];
  /** The files of the folder's validation split, if `split` is "train" and there is one. */
  readonly validation: readonly string[];
  /** What was chosen and why, for a person; empty for a file. */
  readonly why: string;
}

/** Names that mean a split; `valid` and the like are one. */
const SPLITS: readonly (readonly [RegExp, string])[] = [
  [/(^|[^a-z])(train|training)([^a-z]|$)/, "train"],
  [/(^|[^a-z])(valid|validation|val|dev)([^a-z]|$)/, "validation"],
  [/(^|[^a-z])(test|testing|eval|evaluation)([^a-z]|$)/, "test"],
];
/** `train_sft-00000-of-00003.parquet`: the hub's name for a part of a split. */
const PART = /^(.+)-\d{5}-of-\d{5}/;
/** Beside the data, not of it. */
const NOT_DATA = ["dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "labels.json"];

/**
 * @param split which split of a folder; a single file is taken as it is
 * @throws DataError when nothing is there, nothing can be read, or the folder has other splits only
 */
export async function dataFiles(path: string, split: string, dataset: string): Promise<DataFiles> {
  const found = await stat(path).catch((error: unknown) => {
    throw asDataError(error, path);
  });
  if (!found.isDirectory()) {
    readerOf(path);
    if (split === "train") return { files: [path], validation: [], why: "" };
    const hint = "leave split out: a file has no splits";
    throw new DataError({ where: dataset, what: "a single file has no splits", got: `split: ${split}`, hint });
  }
  const files = await filesBelow(path);
  if (files.length === 0) {
    throw new DataError({
      where: `${dataset} (${path})`,
      what: "the folder has no files that can be read",
      expected: EXTENSIONS.map((extension) => `.${extension}`).join(" "),
    });
  }
  return chosenSplit(path, files, split, dataset);
}

function chosenSplit(folder: string, files: readonly string[], wanted: string, dataset: string): DataFiles {
  const splits = new Map<string, string[]>();
  const unnamed: string[] = [];
  for (const file of files) {
    const split = splitOf(relative(folder, file));
    if (split === undefined) unnamed.push(file);
    else splits.set(split, [...(splits.get(split) ?? []), file]);
  }
  const name = wanted === "valid" || wanted === "val" || wanted === "dev" ? "validation" : wanted;
  const chosen = splits.get(name);
  if (chosen !== undefined) {
    const others = files.filter((file) => !chosen.includes(file)).map((file) => relative(folder, file));
    const validation = name === "train" ? (splits.get("validation") ?? []) : [];
    const why = `folder: ${counted(chosen)} of the split ${name}`;
    return { files: chosen, validation, why: others.length === 0 ? why : `${why}; not read: ${listed(others)}` };
  }
  if (name === "train" && (splits.size === 0 || unnamed.length > 0)) {
    const whole = splits.size === 0 ? files : unnamed;
    return { files: whole, validation: splits.get("validation") ?? [], why: `folder: ${counted(whole)}` };
  }
  throw new DataError({
    where: `${dataset} (${folder})`,
    what: "the folder does not have this split",
    got: wanted,
    expected: splits.size === 0 ? "train (no file is named after a split)" : [...splits.keys()].join(" or "),
    hint: "name the file itself, or set split in dataset_info.json",
  });
}

/** The split that a file is named after, by its own name first and by those of its folders then. */
function splitOf(path: string): string | undefined {
  for (const part of path.toLowerCase().split(sep).toReversed()) {
    const exact = PART.exec(part)?.[1];
    const known = SPLITS.find(([pattern]) => pattern.test(exact === undefined ? part : `${exact} `))?.[1];
    if (exact !== undefined && exact.includes("_")) return exact;
    if (known !== undefined) return known;
    if (exact !== undefined) return exact;
  }
  return undefined;
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    throw asDataError(error, folder);
  });
  return entries
    .filter((entry) => !entry.isDirectory() && !NOT_DATA.includes(entry.name) && findReader(entry.name) !== undefined)
    .map((entry) => join(entry.parentPath, entry.name))
    .filter(
      (file) =>
        !relative(folder, file)
          .split(sep)
          .some((part) => part.startsWith(".")),
    )
    .toSorted((a, b) => (a < b ? -1 : 1));
}

function counted(files: readonly string[]): string {
  return files.length === 1 ? "1 file" : `${files.length} files`;
}
