/** `train_results.json`, `eval_results.json` and, with all of them in one, `all_results.json`. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { errorCode, readJson, replaceFile } from "./durable-file.ts";
import { type Json, pythonJson } from "./python-json.ts";

/**
 * Writes the metrics of a run by transformers' names, such as `metricsOf(row)`. Those of other splits stay in
 * `all_results.json`.
 * @throws FormatError if the disk refuses, or an `all_results.json` is there that is not JSON
 */
export async function writeResults(
  outputDir: string,
  split: "train" | "eval" | "predict",
  metrics: Readonly<Record<string, Json>>,
): Promise<void> {
  await writeJson(join(outputDir, `${split}_results.json`), metrics);
  const path = join(outputDir, "all_results.json");
  const before = (await exists(path)) ? ((await readJson(path)) as Readonly<Record<string, Json>>) : {};
  await writeJson(path, { ...before, ...metrics });
}

async function writeJson(path: string, value: Json): Promise<void> {
  await replaceFile(path, `${pythonJson(value, { indent: 4 })}\n`);
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw error;
  }
}
