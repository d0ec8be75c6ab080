/** What is done with an output folder that holds something already, as LLaMA-Factory does it. */
import { readdir } from "node:fs/promises";
import type { RunConfig } from "../../config/read.ts";
import { ConfigError } from "../../errors.ts";
import { lastCheckpoint, removeCheckpoints } from "../../train/run/checkpoint-store.ts";

/**
 * The checkpoint to go on from; undefined for a new run. A folder with checkpoints is gone on with, unless
 * `overwrite_output_dir` says otherwise.
 * @throws ConfigError if there is no checkpoint where one is asked for, or the folder holds a run without any
 */
export async function checkpointToResume(config: RunConfig): Promise<string | undefined> {
  const { outputDir, resumeFromCheckpoint: wanted, overwriteOutputDir } = config;
  if (typeof wanted === "string") return wanted;
  if (wanted === null && overwriteOutputDir) {
    await removeCheckpoints(outputDir);
    return undefined;
  }
  const last = await lastCheckpoint(outputDir);
  if (last !== undefined) return last.path;
  if (wanted === true) {
    throw new ConfigError({
      where: "resume_from_checkpoint",
      what: `there is no complete checkpoint in ${outputDir}`,
      hint: "leave the key out to start anew",
    });
  }
  const names: string[] = await readdir(outputDir).catch(() => []);
  if (names.includes("trainer_log.jsonl") && names.includes("all_results.json")) {
    throw new ConfigError({
      where: "output_dir",
      what: "the folder holds a finished run",
      got: outputDir,
      hint: "choose another one, or set overwrite_output_dir: true",
    });
  }
  return undefined;
}
