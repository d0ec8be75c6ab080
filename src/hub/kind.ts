/** The kinds of repositories, and which of their files are needed. Never a pickle: loading one runs its code. */
import { LABELS_FILE } from "../data/datasets/classes.ts";
import { TEMPLATE_FOLDER, TEXT_FILES } from "../data/text-files.ts";
import { convertHint } from "../formats/safetensors/other-formats.ts";
import { matchesGlob } from "./glob.ts";

export type RepoKind = "model" | "adapter" | "dataset";

/** The file without which a folder is not of a kind. */
export const MARKER: Readonly<Partial<Record<RepoKind, string>>> = {
  model: "config.json",
  adapter: "adapter_config.json",
};

const SINGLE = "model.safetensors";
const SHARDS = ["model.safetensors.index.json", "model-*-of-*.safetensors"];

const PATTERNS: Readonly<Record<RepoKind, readonly string[]>> = {
  model: ["config.json", "generation_config.json", ...TEXT_FILES, `${TEMPLATE_FOLDER}/*.jinja`],
  adapter: [
    "adapter_config.json",
    "adapter_model.safetensors",
    LABELS_FILE,
    ...TEXT_FILES,
    `${TEMPLATE_FOLDER}/*.jinja`,
  ],
  dataset: ["**/*.json", "**/*.jsonl", "**/*.csv", "**/*.parquet", "**/*.txt"],
};

/**
 * The files to fetch. Repositories often hold the weights several times over; of those, only one set is taken.
 * @param paths of all files, relative to the folder, with `/`
 * @param patterns of the wanted files instead of those of the kind: `*` within a name, `**` across folders
 */
export function neededFiles(kind: RepoKind, paths: readonly string[], patterns?: readonly string[]): string[] {
  const matching = (wanted: readonly string[]) =>
    paths.filter((path) => wanted.some((pattern) => matchesGlob(path, pattern)));
  if (patterns !== undefined) return matching(patterns);
  const weights = kind !== "model" ? [] : paths.includes(SINGLE) ? [SINGLE] : SHARDS;
  return matching([...PATTERNS[kind], ...weights]);
}

/** What is wrong with a list of files for a kind, and what to do; undefined when nothing is. */
export function complainAbout(kind: RepoKind, paths: readonly string[]): { what: string; hint: string } | undefined {
  if (kind === "dataset") {
    if (neededFiles(kind, paths).length > 0) return undefined;
    return { what: "this has no data file", hint: "files can be .json, .jsonl, .csv, .parquet and .txt" };
  }
  if (!paths.includes(MARKER[kind]!)) return notOfKind(kind, paths);
  if (kind === "adapter") {
    if (paths.includes("adapter_model.safetensors")) return undefined;
    return { what: "this adapter has no adapter_model.safetensors", hint: convertHint(paths) };
  }
  if (paths.includes(SINGLE) || paths.includes(SHARDS[0]!)) return undefined;
  return { what: "this model has no model.safetensors", hint: convertHint(paths) };
}

/** What is wrong with a folder that lacks the file which makes it one of the kind. */
export function notOfKind(kind: "model" | "adapter", paths: readonly string[]): { what: string; hint: string } {
  const what = `this has no ${MARKER[kind]}`;
  if (kind === "model" && paths.includes(MARKER.adapter!)) {
    return { what, hint: "it is an adapter: give it as the adapter, and as the model the one that it is for" };
  }
  if (kind === "adapter" && paths.includes(MARKER.model!)) {
    return { what, hint: "it is a whole model: give it as the model" };
  }
  if (paths.some((path) => path.endsWith(".gguf"))) return { what, hint: convertHint(paths) };
  return { what, hint: `give a folder in the layout of Hugging Face, with ${MARKER[kind]} and safetensors files` };
}
